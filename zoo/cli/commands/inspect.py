"""`zoo inspect`: what a file of interactions holds, and what the zoo would make of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import AsJson, print_json, print_table, printable
from zoo.config import parse_settings
from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.data.inspection import ColumnJson


def inspect(
    interactions: Annotated[str, typer.Argument(help="A file of interactions, or the URL of a database.")],
    users: Annotated[str | None, typer.Option(help="A table with a row for each user.")] = None,
    items: Annotated[str | None, typer.Option(help="A table with a row for each item.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of the section data, e.g. data.separator=';'. May be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new YAML file for the settings that state it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what each column is taken for and why, and print the YAML that states it."""
    sections = parse_settings(settings or [])
    options = sections.pop("data", {})
    if sections:
        raise UserError(f"Only settings of data are for tables. Received: {next(iter(sections))}. Use data.NAME.")
    from zoo.data.inspection import inspect_tables

    found = inspect_tables(interactions, users, items, **{"name": Path(interactions).name.split(".")[0], **options})
    text = found.yaml(out.absolute().parent if out else None)
    if out:
        _write(out, text)
    if as_json:
        print_json({"columns": found.columns, "notes": found.notes, "settings": found.settings})
        return
    for table in dict.fromkeys(column["table"] for column in found.columns):
        rows = [_row(one) for one in found.columns if one["table"] == table]
        print_table(table, ["column", "taken for", "why", "distinct", "missing", "range", "e.g."], rows)
    print(*map(printable, found.notes), sep="\n", end="\n\n")
    written = f"Written: {out}. Train on it: zoo train ials --data {out}"
    print(printable(written if out else f"The settings that state it:\n\n{text}"))


def _row(one: ColumnJson) -> tuple[object, ...]:
    samples = ", ".join(one["samples"])
    return (*(one[key] for key in ("column", "taken_for", "why", "distinct", "missing", "range")), samples)


def _write(path: Path, text: str) -> None:
    """Writes a new file, whole or not at all."""
    if path.exists():
        raise UserError(f"{path}: is there already. Name another file.")
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.absolute().parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}).") from error
