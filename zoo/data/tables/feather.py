"""Feather and Arrow files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from zoo.data.frames import of_arrow
from zoo.data.table import Table
from zoo.data.tables import TABLE_FORMATS, Reading, TableFormat
from zoo.errors import UserError


class Feather(TableFormat):
    """A table of Arrow in a file: Feather, Arrow's file format, or its stream format."""

    name = "feather"
    suffixes: ClassVar[tuple[str, ...]] = (".feather", ".arrow", ".arrows", ".ipc")
    magic: ClassVar[bytes] = b"ARROW1"

    def read(self, path: Path, reading: Reading) -> Table:
        """See `TableFormat.read`."""
        from pyarrow import feather

        try:
            with path.open("rb") as file:
                is_stream = not file.read(6).startswith((b"ARROW1", b"FEA1"))
            if is_stream:
                with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as stream:
                    table = stream.read_all()
            else:
                table = feather.read_table(path)
        except Exception as error:  # what a damaged file raises depends on where the damage is
            raise UserError(f"{path}: not readable as Arrow ({error}). Write it anew.") from error
        return of_arrow(table, str(path))


TABLE_FORMATS.register(Feather())
