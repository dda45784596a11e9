"""`read_table`: a table from a file, a database or what is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from zoo.data.database import read_database
from zoo.data.frames import table_in_memory
from zoo.data.table import Table, missing_column
from zoo.data.tables import Reading, format_of, missing_file
from zoo.data.values import with_plain_lists
from zoo.errors import UserError
from zoo.options import Option, check_options

# Where a table is: a path or URL, a mapping with `file` and what to read it by, or what `zoo.data.frames` takes.
Source: TypeAlias = Any

# The options of a table that is given as a mapping.
_OF_FILE = {
    "file": Option(str, None),
    "separator": Option(str | None, None),
    "encoding": Option(str | None, None),
    "header": Option(bool | None, None),
    "table": Option(str | None, None),
    "columns": Option(dict | None, None),
}


def read_table(
    source: Source,
    columns: Mapping[str, str] | None = None,
    *,
    name: str = "table",
    reading: Reading | None = None,
) -> Table:
    """Reads a table as it was written: text files as strings, all others with their types.

    Args:
        source: The path of a file; the URL of a database; a mapping with `file` and, for this file only, `separator`,
            `encoding`, `header`, `table` and `columns`; or a frame or the like, see `zoo.data.frames`.
        columns: New names for columns, name in the file to new name. All of them must be there.
        name: What a frame is called in errors.
        reading: What the user says of how to read it.

    Returns:
        A `Table`.

    Raises:
        UserError: If the file is missing, empty, not readable, or lacks a column.

    Example:

    >>> table = read_table([{"userId": 7, "item": 1}], {"userId": "user"})
    >>> list(table.frame.columns)
    ['user', 'item']
    """
    reading, columns = reading or Reading(), dict(columns or {})
    if isinstance(source, Mapping) and "file" in source:
        source, reading, own = _of_mapping(source, name)
        columns |= own
    if isinstance(source, str | Path):
        is_url = "://" in str(source)
        table = read_database(str(source), reading.table) if is_url else _read_file(Path(source), reading)
    else:
        if reading.said():
            raise UserError(f"{name}: is no file, so {reading.said()[0]} has no effect. Leave it out.")
        table = table_in_memory(source, name)
    _check_content(table)
    lacking = next((column for column in columns if column not in table.frame.columns), None)
    if lacking is not None:
        raise missing_column(table.name, lacking, table.frame.columns)
    return with_plain_lists(table.renamed(columns))


def _of_mapping(source: Mapping[str, Any], name: str) -> tuple[str | Path, Reading, dict[str, str]]:
    """The path of a table that is given as a mapping, how to read it, and names for its columns."""
    said = {**source, "file": str(source["file"])}
    check_options(said, _OF_FILE, of=f"table {name!r}")
    path, columns = said.pop("file"), said.pop("columns", None) or {}
    return path, Reading(**said), {str(old): str(new) for old, new in columns.items()}


def _check_content(table: Table) -> None:
    """Raises a `UserError` unless there are columns and rows."""
    if not len(table.frame.columns):
        raise UserError(f"{table.name}: has no columns. Give a table with some.")
    if not len(table.frame):
        what = "has a header but no rows" if table.file else "has no rows"
        raise UserError(f"{table.name}: {what}. Give a table with some.")


def _read_file(path: Path, reading: Reading) -> Table:
    if not path.exists():
        raise missing_file(path)
    if not path.is_file():
        raise UserError(f"{path}: is not a file. Give the path of one.")
    if not path.stat().st_size:
        raise UserError(f"{path}: is empty. Write it anew.")
    chosen = format_of(path)
    for option in reading.said():
        if option not in chosen.options:
            raise UserError(f"{path}: is read as {chosen.name}, where {option} has no effect. Leave it out.")
    return chosen.read(path, reading)
