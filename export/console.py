"""What the commands of this package print of checks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from export.verification.check import Check

Sign = Annotated[Path | None, typer.Option("--sign", help="The Ed25519 key (PEM) to sign the bundle with.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print every check, not one line for each artefact.")]


def print_check(check: Check) -> None:
    """Prints one line a check, with a mark that tells whether it passed."""
    print(f"{'✓' if check.passed else '✗'} {check}", flush=True)


def silent(check: Check) -> None:
    """Prints nothing of a check, so that a program can read the output."""


class CheckPrinter:
    """Prints one line for every artefact whose checks all hold, and every check of one that fails.

    Used as a context, it prints the last artefact at the end, also when verification fails.

    Args:
        verbose: Whether every check is printed as it is done.
    """

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._checks: list[Check] = []

    def __enter__(self) -> Callable[[Check], None]:
        return self._report

    def __exit__(self, *raised: object) -> None:
        self._finish()

    def _report(self, check: Check) -> None:
        if self._verbose:
            print_check(check)
            return
        if self._checks and self._checks[-1].artefact != check.artefact:
            self._finish()
        self._checks.append(check)
        if sys.stdout.isatty():
            print(f"\r  {check.artefact}: {len(self._checks)} checks ...", end="", flush=True)

    def _finish(self) -> None:
        if self._checks and sys.stdout.isatty():
            print("\r\033[K", end="")
        print_artefact(self._checks)
        self._checks = []


def print_artefact(checks: list[Check]) -> None:
    """Prints one line of an artefact whose checks all hold, and every check of one that fails."""
    if checks and all(check.passed for check in checks):
        print(f"✓ {summary(checks)}", flush=True)
        return
    for check in checks:
        print_check(check)


def summary(checks: list[Check]) -> str:
    """The checks of an artefact in one line, e.g. `onnx: 12 checks, 3,406 queries, largest difference 4.8e-07`."""
    from export.bundle.bundle import worst_figures

    queries = sum(check.queries for check in checks)
    return f"{checks[0].artefact}: {len(checks)} checks, {queries:,} queries, {worst_figures(checks)}"
