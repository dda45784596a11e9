"""Text files of fields with a separator: CSV, TSV, and what `.dat`, `.data` and `.txt` files hold."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from zoo.data.table import Table
from zoo.data.tables import TABLE_FORMATS, Reading, TableFormat
from zoo.data.text_file import TextFile, check_encoding, find_encoding, find_separator, first_rows, read_bytes
from zoo.data.values import MISSING
from zoo.errors import UserError


class Delimited(TableFormat):
    """A record a line, fields with a separator. What the user does not say of it is found out and noted."""

    name = "delimited"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".txt", ".dat", ".data", ".inter", ".psv")
    options: ClassVar[tuple[str, ...]] = ("separator", "encoding", "header")

    def read(self, path: Path, reading: Reading) -> Table:
        """See `TableFormat.read`."""
        data = read_bytes(path)
        encoding = reading.encoding or find_encoding(path, data)
        check_encoding(path, encoding)
        if reading.separator is not None and (not reading.separator or set(reading.separator) & set('\r\n"')):
            raise UserError(f"{path}: {reading.separator!r} cannot separate fields. Give e.g. ',', ';' or '::'.")
        file = TextFile(path, encoding, reading.separator or find_separator(path, encoding, data))
        has_header = _has_header(first_rows(file, data)) if reading.header is None else reading.header
        text = file.text(data)
        del data  # It is not needed beside the table.
        frame = _frame_of(file, text)
        if has_header:
            frame = frame.set_axis([name.strip() for name in frame.iloc[0]], axis=1).iloc[1:]
        else:
            frame = frame.set_axis([str(number) for number in range(1, frame.shape[1] + 1)], axis=1)
        twice = frame.columns[frame.columns.duplicated()]
        if len(twice):
            raise UserError(f"{path}: has the column {twice[0]!r} more than once. Rename or drop one.")
        is_blank = np.logical_and.reduce([(frame.iloc[:, i] == "").to_numpy(bool) for i in range(frame.shape[1])])
        read_by: dict[str, object] = {"separator": file.separator, "encoding": encoding, "header": has_header}
        notes = _notes(file, has_header, reading)
        table = Table(frame[~is_blank], str(path), file, has_header, notes=notes, read_by=read_by)
        # A file of text has no other way to say that there is no id. Elsewhere such a text was written as one.
        return dataclasses.replace(table, missing_ids=MISSING)


def _frame_of(file: TextFile, text: str) -> pd.DataFrame:
    """All records as they were written, numbered from 1."""
    csv_format = file.csv_format()
    try:
        # Blank lines are kept, because a row's number is then known whatever comes before it. The header is read
        # as a row, so that a row of more fields than it has is an error and not taken for an index.
        frame = pd.read_csv(
            io.StringIO(text),
            sep=csv_format["delimiter"],
            quoting=csv_format["quoting"],
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
        )
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{file.path}: is empty. Write it anew.") from error
    except pd.errors.ParserError as error:
        mend = f"Fields with a {file.separator!r} need quotes; another separator can be said (separator)."
        raise UserError(f"{file.path}: {str(error).strip()}. {mend}") from error
    return frame.set_axis(np.arange(1, len(frame) + 1), axis=0)


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns, which it does if none of its fields is a number."""
    first = next(filter(None, rows), [])
    return not any(_is_number(field) for field in first)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")


def _notes(file: TextFile, has_header: bool, reading: Reading) -> list[str]:
    """What was found out, unless it is what everybody expects."""
    found = []
    if reading.separator is None and file.separator not in (",", "\t"):
        found.append(f"its fields are separated by {file.separator!r} (separator)")
    if reading.encoding is None and not file.encoding.startswith("utf"):
        found.append(f"its encoding is {file.encoding} (encoding)")
    if reading.header is None and not has_header:
        found.append("its first row is data and no header (header)")
    return [f"{file.path}: {', '.join(found)}."] if found else []


TABLE_FORMATS.register(Delimited())
