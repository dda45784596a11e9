"""`zoo refresh`: another catalogue in a bundle."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.console import CheckPrinter, Sign, Verbose, silent
from zoo.cli.console import AsJson, Overwrite, print_json, quiet_tensorflow
from zoo.errors import UserError
from zoo.files import read_json

if TYPE_CHECKING:
    from export.bundle.refresh import Refreshed


def refresh(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle.")],
    items: Annotated[Path, typer.Option(help="The whole new catalogue: a table, or the YAML file of the data.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the new bundle, by default that of the old one.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", help="Names for columns, name in the file=name here: sku=item.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", help="Items that recommend gives, by default as many as before.")
    ] = None,
    overwrite: Overwrite = False,
    sign: Sign = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Put new, changed and withdrawn items into a bundle without training, and verify and publish it again."""
    named = _renames(columns or ())
    read_json(bundle / "manifest.json", "bundle")
    quiet_tensorflow()
    from export.bundle.refresh import refresh as refresh_bundle

    with CheckPrinter(verbose) as print_line:
        report = silent if as_json else print_line
        done = refresh_bundle(bundle, items, out, columns=named, k=k, overwrite=overwrite, sign=sign, report=report)
    if not done.changes:
        print(f"Warning: {items} is the catalogue that {bundle} has already. Nothing was published.", file=sys.stderr)
    folder = out if out and done.changes else bundle
    if as_json:
        print_json(_described(done, folder))
        return
    print(f"Items: {done.changes}")
    if done.changes:
        print(f"Published {folder}, version {done.bundle.version}")


def _described(done: Refreshed, folder: Path) -> dict[str, object]:
    """What happened, in a form that programs read."""
    return {
        "bundle": str(folder),
        "version": done.bundle.version,
        "published": bool(done.changes),
        "items": done.changes.counts,
        "checks": done.bundle.manifest["checks"] if done.changes else [],
    }


def _renames(columns: Sequence[str]) -> dict[str, str]:
    renames = dict(column.rpartition("=")[::2] for column in columns)
    for column, name in renames.items():
        if not (column and name):
            raise UserError(f"--columns: expected name in the file=name here. Received: {column or name!r}.")
    return renames
