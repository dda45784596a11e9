"""Tables of DuckDB databases."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from zoo.data.frames import of_arrow
from zoo.data.table import Table
from zoo.data.tables import TABLE_FORMATS, Reading, TableFormat, chosen_table
from zoo.errors import UserError


class Duckdb(TableFormat):
    """A table or view of a DuckDB database."""

    name = "duckdb"
    suffixes: ClassVar[tuple[str, ...]] = (".duckdb", ".ddb")
    options: ClassVar[tuple[str, ...]] = ("table",)

    def read(self, path: Path, reading: Reading) -> Table:
        """See `TableFormat.read`."""
        try:
            import duckdb
        except ImportError as error:
            raise UserError(f'{path}: DuckDB files need duckdb: pip install "recozoo[tables]"') from error
        try:
            # What is in the file cannot reach other files or the network.
            with duckdb.connect(str(path), read_only=True, config={"enable_external_access": "false"}) as database:
                tables = [name for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
                tables += [
                    name
                    for (name,) in database.execute(
                        "SELECT view_name FROM duckdb_views() WHERE NOT internal"
                    ).fetchall()
                ]
                table = chosen_table(str(path), tables, reading.table)
                found = database.table('"{}"'.format(table.replace('"', '""'))).to_arrow_table()
        except duckdb.Error as error:
            raise UserError(f"{path}: not readable as DuckDB ({error}). Write it anew.") from error
        return dataclasses.replace(of_arrow(found, str(path)), read_by={"table": table})


TABLE_FORMATS.register(Duckdb())
