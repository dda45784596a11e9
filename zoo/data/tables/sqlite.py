"""Tables of SQLite databases."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from pathlib import Path
from typing import ClassVar

from zoo.data.table import Table, of_frame
from zoo.data.tables import TABLE_FORMATS, Reading, TableFormat, chosen_table, object_frame
from zoo.errors import UserError


class Sqlite(TableFormat):
    """A table or view of an SQLite database."""

    name = "sqlite"
    suffixes: ClassVar[tuple[str, ...]] = (".sqlite", ".sqlite3", ".db")
    magic: ClassVar[bytes] = b"SQLite format 3\0"
    options: ClassVar[tuple[str, ...]] = ("table",)

    def read(self, path: Path, reading: Reading) -> Table:
        """See `TableFormat.read`."""
        listing = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
        try:
            # Opened for reading only, so that nothing is written beside it.
            with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                pages, bytes_a_page = (database.execute(f"PRAGMA page_{of}").fetchone()[0] for of in ("count", "size"))
                size = pages * bytes_a_page
                if size > path.stat().st_size:
                    raise sqlite3.DatabaseError(f"{path.stat().st_size:,} of {size:,} bytes are there")
                tables = [name for (name,) in database.execute(listing)]
                table = chosen_table(str(path), tables, reading.table)
                cursor = database.execute('SELECT * FROM "{}"'.format(table.replace('"', '""')))
                frame = object_frame(cursor.fetchall(), [column[0] for column in cursor.description])
        except sqlite3.Error as error:
            raise UserError(f"{path}: not readable as SQLite ({error}). Write it anew.") from error
        return dataclasses.replace(of_frame(frame, str(path)), read_by={"table": table})


TABLE_FORMATS.register(Sqlite())
