"""Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from zoo.data.frames import of_arrow
from zoo.data.table import Table
from zoo.data.tables import TABLE_FORMATS, Reading, TableFormat
from zoo.errors import UserError
from zoo.memory import check_memory


class Parquet(TableFormat):
    """A table with types, compressed by column."""

    name = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")
    magic: ClassVar[bytes] = b"PAR1"

    def read(self, path: Path, reading: Reading) -> Table:
        """See `TableFormat.read`."""
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
                _check_fits(path, sum(group.total_byte_size for group in groups))
                table = file.read()
        except UserError:
            raise
        except Exception as error:  # what a damaged file raises depends on where the damage is
            raise UserError(
                f"{path}: not readable as Parquet ({error}). It may be cut short, so write it anew."
            ) from error
        return of_arrow(table, str(path))


def _check_fits(path: Path, size: int) -> None:
    mend = "Stream the interactions (data.stream=true), or leave out columns."
    check_memory(f"{path}: a table of {size:,} bytes", 3 * size, mend)


TABLE_FORMATS.register(Parquet())
