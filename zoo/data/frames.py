"""Tables that are in memory already: frames of pandas and polars, tables of Arrow, records, columns, arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from zoo.data.table import Table, of_frame
from zoo.errors import UserError

_EXPECTED = "Expected a path, a frame of pandas or polars, an Arrow table, a list of records or a mapping of columns"


def table_in_memory(source: Any, name: str) -> Table:
    """A table of what is in memory.

    Args:
        source: A `Table`; a frame of pandas; a frame of polars, a table of Arrow or anything else with Arrow's stream
            interface; a list of records (mappings); a mapping of columns; or an array or list of rows without names.
        name: What it is called in errors.

    Returns:
        A `Table`.

    Raises:
        UserError: If it is none of these, or its columns differ in length.

    Example:

    >>> table_in_memory([{"user": 1, "item": 7}, {"user": 2}], "visits").frame["item"].tolist()
    [7, nan]
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, pd.DataFrame):
        return of_frame(source, name)
    if hasattr(source, "__arrow_c_stream__"):
        return of_arrow(pa.table(source), name)
    if hasattr(source, "collect"):
        raise UserError(f"{name}: is a query that has not run yet. Give what its collect() returns.")
    try:
        if isinstance(source, Mapping):
            return _of_columns(source, name)
        if isinstance(source, np.ndarray) and source.ndim == 2:
            return without_names(pd.DataFrame(source), name)
        if isinstance(source, Sequence) and not isinstance(source, str | bytes):
            return _of_rows(source, name)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{name}: {error}. {_EXPECTED}.") from error
    raise UserError(f"{name}: {_EXPECTED}. Received: a {type(source).__name__}.")


def _of_columns(source: Mapping[Any, Any], name: str) -> Table:
    columns = {str(key): _column(values) for key, values in source.items()}
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"{name}: its columns differ in length: {lengths}. Give as many values in each.")
    return of_frame(pd.DataFrame(columns), name)


def _column(values: Any) -> Any:
    """The values of a column. Those of a list keep their types, as an integer beside a gap does."""
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise UserError(f"{_EXPECTED}. Received: {values!r} as a column.")
    return pd.Series(list(values), dtype=object) if isinstance(values, list | tuple) else values


def _of_rows(rows: Sequence[Any], name: str) -> Table:
    frame = pd.DataFrame(list(rows), dtype=object)
    if len(rows) and isinstance(rows[0], Mapping):
        return of_frame(frame, name)
    if any(isinstance(row, str | bytes) or not isinstance(row, Sequence) for row in rows):
        raise UserError(f"{name}: {_EXPECTED}. Received: a list of other things.")
    return without_names(frame, name)


def without_names(frame: pd.DataFrame, name: str) -> Table:
    """A table of a frame without names: its columns are called by their number, from 1 on."""
    table = of_frame(frame.set_axis([str(number + 1) for number in range(frame.shape[1])], axis=1), name)
    table.has_header = False
    return table


def of_arrow(table: pa.Table, name: str) -> Table:
    """A table of an Arrow table. Integers beside gaps stay integers, however large.

    Raises:
        UserError: If a column holds structs or maps, which are no values, or what it holds is damaged.
    """
    try:
        return _of_arrow(table, name)
    except (pa.ArrowException, UnicodeDecodeError, OverflowError) as error:
        raise UserError(f"{name}: holds what cannot be read ({error}). Write it anew.") from error


def _of_arrow(table: pa.Table, name: str) -> Table:
    for field in table.schema:
        if pa.types.is_struct(field.type) or pa.types.is_map(field.type):
            raise UserError(f"{name}, column {field.name!r}: holds records. Make a column of each of their fields.")
    names = [str(column) for column in table.column_names]
    frame = table.rename_columns([str(number) for number in range(len(names))]).to_pandas(integer_object_nulls=True)
    return of_frame(frame.set_axis(names, axis=1), name)
