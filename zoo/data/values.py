"""What the columns of a table hold: ids, numbers, times; errors with file, row and column."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from zoo.data.table import Table, of_objects
from zoo.errors import UserError

# An integer as Python writes it: no sign of plus, no zeros in front.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")

# A whole number as programs write it that keep a column as floats because one value is missing.
_WHOLE_FLOAT = re.compile(r"(0|-?[1-9][0-9]{0,18})(\.0+)?")

# What programs write where there is no value, in small letters.
MISSING = frozenset({"", "na", "n/a", "nan", "nat", "null", "none", "<na>"})

# Weights, labels and features are numbers of 32 bits.
LARGEST = float(np.finfo(np.float32).max)

_TRUE_AND_FALSE = {"true": 1.0, "false": 0.0}

# Units of times in numbers since 1970, by the least of them that is meant so; smaller ones are seconds.
_UNITS = ((1e17, "nanoseconds", 1e-9), (1e14, "microseconds", 1e-6), (1e11, "milliseconds", 1e-3))

# Times that are written as a number in the calendar.
_CALENDAR = {"%Y%m%d": (19000101, 21001231), "%Y%m%d%H%M%S": (19000101000000, 21001231235959)}

_QUOTED = re.compile("'[^']*'|\"[^\"]*\"")

_DATE_AND_TIME = ("date", "time")
_CLOCK = r"\s*\d{1,2}:\d{2}(:\d{2})?(\.\d+)?\s*"


def numbers(table: Table, column: str, what: str) -> np.ndarray:
    """A column as float64.

    Args:
        table: The table.
        column: Its column. `True` and `False` count as 1 and 0.
        what: What the numbers are, for the error, e.g. `"rating"`.

    Returns:
        `[rows]` numbers that fit into 32 bits.

    Raises:
        UserError: If a value is missing, is no number or too large, with its place.
    """
    raw = table.frame[column]
    values = as_numbers(raw)
    if np.isnan(values).any() and not pd.api.types.is_numeric_dtype(raw):
        texts = raw.map(lambda value: str(value).strip().lower())
        values = np.where(np.isnan(values), texts.map(_TRUE_AND_FALSE).to_numpy(np.float64), values)
    _check(np.isfinite(values), table, column, f"a {what} must be a number")
    _check(np.abs(values) <= LARGEST, table, column, f"a {what} must be at most {LARGEST:.1e}")
    return values


def as_numbers(values: pd.Series) -> np.ndarray:
    """`[rows]` float64; NaN for what is no number."""
    if values.dtype == object:  # It may hold lists, which are no numbers either.
        is_one = (not (_is_list(value) or isinstance(value, dict)) for value in values)
        values = values.where(pd.Series(is_one, values.index, dtype=bool))
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def seconds(table: Table, column: str) -> np.ndarray:
    """A column of times as float64 unix seconds.

    Args:
        table: The table, which gets a note where the unit had to be told from the numbers.
        column: Its column: datetimes, periods, timedeltas, ISO date-times; seconds, milliseconds, microseconds or
            nanoseconds since 1970; or calendar numbers such as 20240229.

    Returns:
        `[rows]` seconds since 1970-01-01 UTC. Times without a zone are taken as UTC.

    Raises:
        UserError: If a value is missing or cannot be read, with its place.
    """
    raw = table.frame[column]
    if isinstance(raw.dtype, pd.PeriodDtype):
        raw = raw.dt.to_timestamp()
    if pd.api.types.is_timedelta64_dtype(raw):
        values = raw.dt.total_seconds().to_numpy(np.float64, na_value=np.nan)
        _check(np.isfinite(values), table, column, "a timestamp must be there")
        return values
    if not pd.api.types.is_datetime64_any_dtype(raw):
        values = as_numbers(raw)
        if np.isfinite(values).mean() >= 0.5:  # a column of numbers, so the others are the mistakes
            _check(np.isfinite(values), table, column, "a timestamp must be a number, as the others are")
            return _seconds_of_numbers(values, table, column)
    times = _times(raw)
    _check(times.notna().to_numpy(), table, column, "a timestamp must be unix seconds or an ISO date-time")
    return _seconds_of_times(times)


def _seconds_of_times(times: pd.Series) -> np.ndarray:
    return times.dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64) / 1e6


def days(texts: np.ndarray) -> np.ndarray:
    """ISO dates as float64 days since 1970-01-01 UTC; NaN for what is none.

    Example:

    >>> days(np.array(["1970-01-02", "1970-01-01T12:00"], dtype=object))
    array([1. , 0.5])
    """
    times = _times(pd.Series(texts, dtype=object))
    found = np.full(len(times), np.nan)
    is_time = times.notna().to_numpy()
    found[is_time] = _seconds_of_times(times[is_time]) / 86_400
    return found


def _times(raw: pd.Series) -> pd.Series:
    """Datetimes in UTC; `NaT` for what is none, or is of a year that pandas cannot tell."""
    try:
        return pd.to_datetime(raw, errors="coerce", format="ISO8601", utc=True)
    except (OverflowError, ValueError, TypeError):  # pandas does not always coerce what is out of bounds
        one_by_one = [pd.to_datetime(value, errors="coerce", utc=True) for value in raw.astype(str)]
        return pd.Series(pd.DatetimeIndex(one_by_one), index=raw.index)


def _seconds_of_numbers(values: np.ndarray, table: Table, column: str) -> np.ndarray:
    """Times in numbers as seconds; the note of the table says how they were taken if not as seconds."""
    for written, (least, most) in _CALENDAR.items():
        if ((values >= least) & (values <= most) & (values % 1 == 0)).all():
            texts = pd.Series(values.astype(np.int64).astype(str))
            times = pd.to_datetime(texts, errors="coerce", format=written, utc=True)
            if times.notna().all():
                _note_unit(table, column, f"calendar numbers ({written})")
                return _seconds_of_times(times)
    usual = float(np.median(np.abs(values)))
    for smallest, unit, factor in _UNITS:
        if usual >= smallest:
            _note_unit(table, column, f"{unit} since 1970")
            return values * factor
    return values


def _note_unit(table: Table, column: str, what: str) -> None:
    note = f"{table.name}: the times in column {table.written_as.get(column, column)!r} were taken for {what}."
    if note not in table.notes:
        table.notes.append(note)


def date_and_time(table: Table) -> tuple[str, str] | None:
    """The columns of a date and of a time of day, if a table has them and no other time."""
    by_lower = {name.lower(): name for name in table.frame.columns}
    if "timestamp" in by_lower or any(name not in by_lower for name in _DATE_AND_TIME):
        return None
    date, clock = (by_lower[name] for name in _DATE_AND_TIME)
    return (date, clock) if table.frame[clock].astype(str).str.fullmatch(_CLOCK).all() else None


def with_joined_time(table: Table) -> Table:
    """A table whose columns of a date and of a time of day have become one of both, if it has them and no other.

    Args:
        table: The table, under the names that the user gave.
    """
    both = date_and_time(table)
    if both is None:
        return table
    date, clock = (table.frame[name].astype(str).str.strip() for name in both)
    frame = table.frame.drop(columns=list(both)).assign(timestamp=date.str.slice(stop=10) + "T" + clock.str.zfill(5))
    note = f"{table.name}: the columns {both[0]!r} and {both[1]!r} were taken for one timestamp."
    written_as = {**table.written_as, "timestamp": both[0]}
    return dataclasses.replace(table, frame=frame, written_as=written_as, notes=[*table.notes, note])


def _check(is_good: np.ndarray, table: Table, column: str, rule: str, mend: str = "") -> None:
    if not is_good.all():
        at = int(np.argmin(is_good))
        value = table.frame[column].iloc[at]
        is_missing = not isinstance(value, (list, dict, np.ndarray)) and (pd.isna(value) or value == "")
        shown = "nothing" if is_missing else repr(value)[:100]
        raise UserError(f"{table.where(table.frame.index[at], column)}: {rule}. Received: {shown}.{mend}")


def distinct(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of a column as text, and which of them every row has.

    Args:
        values: Strings, numbers, times or lists of them. Whole numbers are written without a point;
            lists are joined with `"|"`.

    Returns:
        `[rows]` positions, and the distinct texts (object array) that they point into. Missing values
        and empty texts have the position -1.
    """
    if pd.api.types.is_object_dtype(values) and pd.api.types.infer_dtype(values) != "string":
        values = of_objects(map(_plain, values), values.index)
    codes, found = pd.factorize(values)
    texts = np.array([_as_text(value) for value in found], dtype=object)
    # Different values can have the same text (1 and "1"), so the texts are made distinct once more.
    again, texts = pd.factorize(texts)
    again = np.append(again, -1)  # for the rows where nothing was found
    if "" in texts:
        nothing = int(np.flatnonzero(texts == "")[0])
        texts = np.delete(texts, nothing)
        again = np.where(again == nothing, -1, again - (again > nothing))
    return again[codes], texts


def _plain(value: object) -> object:
    """A value that can be told from others: a list as text, and so is a record."""
    return str(value) if isinstance(value, dict) else _join_lists(value)


def _join_lists(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)  # Sets have an order of their own in every process.
    return "|".join(map(str, value)) if isinstance(value, (list, tuple, np.ndarray)) else value


def _as_text(value: object) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def ids(table: Table, column: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a column as text: `[rows]` positions and the distinct ids that they point into.

    Args:
        table: The table, which gets a note if ids were not as `plain_ids` gives them.
        column: Its id column.

    Returns:
        As `distinct`, without -1.

    Raises:
        UserError: If an id is missing, or is a list, with its place.
    """
    if column in table.lists:
        _check(np.zeros(len(table.frame), bool), table, column, f"a {column} id must be one value")
    codes, written = distinct(table.frame[column])
    is_missing = np.array([text.strip().lower() in table.missing_ids for text in written], dtype=bool)
    is_there = (codes >= 0) & ~np.append(is_missing, False)[codes]
    mend = " Leave such rows out, or say which texts are no ids (missing_ids)."
    _check(is_there, table, column, f"the {column} id is missing", mend)
    again, texts = plain_ids(written)
    changed = int((texts[again] != written).sum())
    if changed:
        note = f"{table.name}: {changed} {column} ids were freed of blanks around them, or of zeros after the point."
        if note not in table.notes:
            table.notes.append(note)
    return again[codes], texts


def plain_ids(written: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids without blanks around them, and without zeros after the point where all ids are whole numbers.

    Args:
        written: `[n]` all distinct ids as they are written.

    Returns:
        `[n]` positions, and the distinct ids (object array) that they point into.

    Example:

    >>> plain_ids(np.array(["7.0", "7", " 8"], dtype=object))[1].tolist()
    ['7', '8']
    """
    plain = [text.strip() for text in written]
    found = [_WHOLE_FLOAT.fullmatch(text) for text in plain]
    if all(found):
        plain = [one.group(1) for one in found if one]
    return pd.factorize(np.array(plain, dtype=object))


def with_plain_lists(table: Table) -> Table:
    """A table whose lists, real ones and those written as `['a', 'b']`, are joined by `"|"`.

    Args:
        table: The table, which learns the names of these columns.
    """
    changed = {name: joined for name in table.frame.columns if (joined := _joined(table.frame[name])) is not None}
    if not changed:
        return table
    notes = [f"{table.name}: column {table.written_as.get(name, name)!r} holds lists." for name in changed]
    frame = table.frame.assign(**changed)
    return dataclasses.replace(table, frame=frame, lists=table.lists | changed.keys(), notes=[*table.notes, *notes])


def _joined(values: pd.Series) -> pd.Series | None:
    """The lists of a column as texts, and `None` for a column of other things."""
    if not (pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)):
        return None
    first = values.first_valid_index()
    if first is None or not (_is_list(values[first]) or str(values[first])[:1] in ("[", "")):
        return None
    is_known = np.array([_is_list(value) or not (pd.isna(value) or value == "") for value in values], bool)
    lists = [_written_list(value) for value in values[is_known]]
    if not lists or not all(map(_is_list, lists)):
        return None
    return of_objects(map(_join_lists, lists), values.index[is_known]).reindex(values.index, fill_value="")


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, np.ndarray))


def _written_list(text: object) -> object:
    """The list that a text writes, as Python or NumPy does; what is given if it writes none."""
    if not isinstance(text, str) or text[:1] != "[":
        return text
    if not re.sub(r"[\s\[\]]", "", _QUOTED.sub("", text)):  # NumPy writes no commas.
        return [part[1:-1] for part in _QUOTED.findall(text)]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def are_integers(texts: Iterable[str]) -> bool:
    """Whether every text is an integer as Python writes it, so that reading it as one loses nothing."""
    return all(_is_integer(text) for text in texts)


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and abs(int(text)) < 2**63
