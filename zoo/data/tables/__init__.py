"""Tables from files, databases and frames. Each kind of file is an object in a file of its own."""

from __future__ import annotations

import abc
import dataclasses
import difflib
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from zoo.data.table import Table
from zoo.data.text_file import plain_suffix, read_bytes
from zoo.errors import UserError, unknown_name
from zoo.registries import Registry


@dataclasses.dataclass(frozen=True)
class Reading:
    """What the user says of how a table is to be read; `None` where it is to be found out.

    Args:
        separator: What separates the fields of a text file.
        encoding: The encoding of a text file.
        header: Whether the first row of a text file or sheet names the columns.
        table: The table of a database, or the sheet of a workbook.
    """

    separator: str | None = None
    encoding: str | None = None
    header: bool | None = None
    table: str | None = None

    def said(self) -> list[str]:
        """The names of what was said."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None]


class TableFormat(abc.ABC):
    """A kind of file that holds a table.

    Example:

    ```python
    class Fixed(TableFormat):
        \"\"\"Fields of fixed width.\"\"\"

        name = "fixed"
        suffixes = (".fwf",)

        def read(self, path: Path, reading: Reading) -> Table:
            return of_frame(pd.read_fwf(path), str(path))

    TABLE_FORMATS.register(Fixed())
    ```
    """

    name: ClassVar[str]
    # How the names of such files end.
    suffixes: ClassVar[tuple[str, ...]]
    # What such files begin with, for those of another name.
    magic: ClassVar[bytes] = b""
    # The fields of `Reading` that have an effect.
    options: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def read(self, path: Path, reading: Reading) -> Table:
        """The table in a file.

        Args:
            path: A file that exists and is not empty.
            reading: What the user says of how to read it.

        Returns:
            A `Table`, with notes of what was found out.

        Raises:
            UserError: If the file cannot be read, with its path.
        """


TABLE_FORMATS: Registry[TableFormat] = Registry("table format", "zoo.data.tables", "zoo.tables")


def suffixes() -> tuple[str, ...]:
    """How the names of files with tables end."""
    return tuple(suffix for one in TABLE_FORMATS.values() for suffix in one.suffixes)


def format_of(path: Path) -> TableFormat:
    """The format of a file: by the end of its name, else by what it begins with; else it is text.

    Raises:
        UserError: If the name ends as that of no table and the file is no text.
    """
    suffix = plain_suffix(path)
    for one in TABLE_FORMATS.values():
        if suffix in one.suffixes:
            return one
    head = read_bytes(path, 1000)
    for one in TABLE_FORMATS.values():
        if one.magic and head.startswith(one.magic):
            return one
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: cannot be read as a table. Expected one of: {', '.join(suffixes())}.")
    return TABLE_FORMATS["delimited"]


def missing_file(path: Path) -> UserError:
    """The error for a file that is not there, with the near names in its folder."""
    if not path.parent.is_dir():
        return UserError(f"{path}: no such file. There is no folder {path.parent} either.")
    near = difflib.get_close_matches(path.name, sorted(file.name for file in path.parent.iterdir()), n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UserError(f"{path}: no such file.{hint}")


def chosen_table(source: str, tables: list[str], asked: str | None, what: str = "table") -> str:
    """The table of a database, or the sheet of a workbook, that is asked for, or the only one.

    Args:
        source: The database, as people know it.
        tables: The names of its tables.
        asked: The name that the user said.
        what: What they are called.

    Raises:
        UserError: If there is no such table, none at all, or several and none is asked for.
    """
    if asked is not None:
        if asked not in tables:
            raise UserError(f"{source}: {unknown_name(what, asked, tables)}")
        return asked
    if len(tables) != 1:
        shown = f": {', '.join(sorted(tables))}. Say which, e.g. table: {sorted(tables)[0]}" if tables else ""
        raise UserError(f"{source}: has {len(tables)} {what}s{shown}.")
    return tables[0]


def object_frame(rows: list[Any], columns: list[str] | None = None) -> pd.DataFrame:
    """Rows as a frame whose values are as they were: an integer beside a gap stays one."""
    return pd.DataFrame(rows, columns=columns, dtype=object)
