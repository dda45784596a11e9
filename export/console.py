"""What the commands of this package share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.verification.comparison import Check


def print_check(check: Check) -> None:
    """Prints one line a check, with a mark for whether it passed."""
    print(f"{'✓' if check.passed else '✗'} {check}", flush=True)


def silent(check: Check) -> None:
    """Prints nothing of a check, for output that a program reads."""
