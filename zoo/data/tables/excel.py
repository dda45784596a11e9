"""Sheets of Excel and OpenDocument workbooks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import pandas as pd

from zoo.data.frames import without_names
from zoo.data.table import Table, of_frame
from zoo.data.tables import TABLE_FORMATS, Reading, TableFormat, chosen_table
from zoo.errors import UserError


class Excel(TableFormat):
    """A sheet of a workbook, whose first row names the columns unless the user says otherwise."""

    name = "excel"
    suffixes: ClassVar[tuple[str, ...]] = (".xlsx", ".xls", ".xlsb", ".xlsm", ".ods")
    options: ClassVar[tuple[str, ...]] = ("header", "table")

    def read(self, path: Path, reading: Reading) -> Table:
        """See `TableFormat.read`."""
        try:
            from python_calamine import CalamineWorkbook
        except ImportError as error:
            raise UserError(f'{path}: workbooks need python-calamine: pip install "recozoo[tables]"') from error
        try:
            workbook = CalamineWorkbook.from_path(path)
        except Exception as error:  # what a damaged file raises depends on where the damage is
            raise UserError(f"{path}: not readable as a workbook ({error}). Write it anew.") from error
        sheets = [name for name in workbook.sheet_names if workbook.get_sheet_by_name(name).height]
        sheet = chosen_table(str(path), sheets, reading.table, "sheet")
        rows = workbook.get_sheet_by_name(sheet).to_python()
        frame = pd.DataFrame(rows, dtype=object).map(lambda value: None if value == "" else value)
        read_by: dict[str, object] = {"table": sheet, "header": reading.header is not False}
        if reading.header is False:
            return dataclasses.replace(without_names(frame, str(path)), read_by=read_by)
        names = ["" if name is None else str(name).strip() for name in frame.iloc[0]]
        table = of_frame(frame.iloc[1:].set_axis(names, axis=1), str(path))
        table.frame.index += 1  # The header is a row too.
        return dataclasses.replace(table, read_by=read_by)


TABLE_FORMATS.register(Excel())
