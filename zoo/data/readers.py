"""Tables from files or frames: values as they were written, errors with file, row and column."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from zoo.errors import UserError

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")

ALIASES: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "userid", "uid"),
    "item": ("item_id", "itemid", "movieid", "movie_id", "product_id"),
    "label": ("rating", "score"),
    "timestamp": ("time", "ts", "date", "datetime"),
    "split": (),
    "title": (),
}


# An integer as Python writes it: no sign of plus, no zeros in front.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclasses.dataclass
class Table:
    """A frame that remembers where its rows came from.

    Args:
        frame: The values. Its index counts the records of the source from 1, a header included.
        name: The source as people know it: a path, or what the frame is.
        path: The delimited text file it was read from, if it was.
        delimiter: What separates the fields of that file.
        written_as: The name in the source of every column that was renamed.
    """

    frame: pd.DataFrame
    name: str
    path: Path | None = None
    delimiter: str = ","
    written_as: dict[str, str] = dataclasses.field(default_factory=dict)

    def where(self, record: int, column: str) -> str:
        """The place of a value, for an error message."""
        return f"{self.name}, row {self._line(record)}, column {self.written_as.get(column, column)!r}"

    def _line(self, record: int) -> int:
        """The line on which a record starts. They differ once a quoted field holds a line break."""
        if self.path is None:
            return record
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            for _ in zip(range(record - 1), reader, strict=False):
                pass
            return reader.line_num + 1

    def renamed(self, columns: Mapping[str, str]) -> Table:
        """The same table under other column names; names that it does not have are passed over."""
        columns = {old: new for old, new in columns.items() if old in self.frame.columns}
        names = [columns.get(name, name) for name in self.frame.columns]
        twice = repeated(names)
        if twice:
            both = ", ".join(map(repr, twice))
            raise UserError(f"{self.name}: more than one column would be called {both}. Rename or drop one.")
        written_as = {new: self.written_as.get(old, old) for old, new in columns.items()}
        return dataclasses.replace(
            self, frame=self.frame.set_axis(names, axis=1), written_as={**self.written_as, **written_as}
        )

    def with_known_names(self, *names: str, others: Mapping[str, str] | None = None) -> Table:
        """Gives columns that go by a well-known alias their canonical name.

        Args:
            *names: The canonical names this kind of table may have.
            others: Further aliases that hold in this kind of table only, alias to canonical name.

        Returns:
            A `Table`. A canonical name that is already there stays.
        """
        lacking = [name for name in names if name not in self.frame.columns]
        found = {self._known_by(_aliases(name, others or {})): name for name in lacking}
        return self.renamed({column: name for column, name in found.items() if column is not None})

    def _known_by(self, aliases: Iterable[str]) -> str | None:
        """The column that has the first of these names that is there, in any case."""
        by_lower = {name.lower(): name for name in reversed(list(self.frame.columns))}
        return next((by_lower[alias] for alias in aliases if alias in by_lower), None)

    def require(self, *names: str) -> None:
        """Raises a `UserError` if a column is missing."""
        for name in names:
            if name not in self.frame.columns:
                raise missing_column(self.name, name, self.written_names())

    def written_names(self) -> list[str]:
        """The columns as the source calls them."""
        return [self.written_as.get(name, name) for name in self.frame.columns]


def _aliases(name: str, others: Mapping[str, str]) -> list[str]:
    """The names that a canonical column may go by, likeliest first."""
    return [name, *ALIASES[name], *(alias for alias, real in others.items() if real == name)]


def repeated(names: Iterable[str]) -> list[str]:
    """The names that are there more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


Source: TypeAlias = "str | Path | pd.DataFrame | Table"


def read_table(source: Source, columns: Mapping[str, str] | None = None, *, name: str = "table") -> Table:
    """Reads a table as it was written: text files as strings, Parquet files and frames with their types.

    Args:
        source: The path of a `.csv`, `.tsv`, `.txt` (tabs or commas) or `.parquet` file, or a frame.
        columns: New names for columns, name in the file to new name. All of them must be there.
        name: What a frame is called in errors.

    Returns:
        A `Table`.

    Raises:
        UserError: If the file is missing, empty, not readable, or lacks a column.

    Example:

    >>> table = read_table(pd.DataFrame({"userId": [7], "item": [1]}), {"userId": "user"})
    >>> list(table.frame.columns)
    ['user', 'item']
    """
    table = _as_table(source, name)
    _check_content(table)
    lacking = next((column for column in columns or {} if column not in table.frame.columns), None)
    if lacking is not None:
        raise missing_column(table.name, lacking, table.frame.columns)
    return table.renamed(columns or {})


def _as_table(source: Source, name: str) -> Table:
    if isinstance(source, Table):
        return source
    return _of_frame(source, name) if isinstance(source, pd.DataFrame) else _read_file(Path(source))


def _check_content(table: Table) -> None:
    """Raises a `UserError` unless there are columns of different names, and rows."""
    if not len(table.frame.columns):
        raise UserError(f"{table.name}: has no columns. Give a table with a header.")
    if not len(table.frame):
        what = "has a header but no rows" if table.path else "has no rows"
        raise UserError(f"{table.name}: {what}. Give a table with some.")
    twice = table.frame.columns[table.frame.columns.duplicated()]
    if len(twice):
        raise UserError(f"{table.name}: has the column {twice[0]!r} more than once. Rename or drop one.")


def missing_column(source: str, column: str, known: Iterable[str]) -> UserError:
    """The error for a column that is not there: the near names, and the columns that are."""
    known = list(known)
    # Names are compared without case or underscores, which is how they most often differ.
    plain = {name.lower().replace("_", ""): name for name in known}
    near = difflib.get_close_matches(column.lower().replace("_", ""), plain, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(plain[name]) for name in near)}?" if near else ""
    return UserError(f"{source}: has no column {column!r}.{hint} Its columns: {', '.join(known)}.")


def _read_file(path: Path) -> Table:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: cannot be read as a table. Expected one of: {', '.join(SUFFIXES)}.")
    if not path.exists():
        raise missing_file(path)
    if not path.is_file():
        raise UserError(f"{path}: is not a file. Give the path of one.")
    if not path.stat().st_size:
        raise UserError(f"{path}: is empty. Write it anew.")
    return _read_parquet(path) if suffix == ".parquet" else _read_text(path)


def missing_file(path: Path) -> UserError:
    """The error for a file that is not there, with the near names in its folder."""
    if not path.parent.is_dir():
        return UserError(f"{path}: no such file. There is no folder {path.parent} either.")
    near = difflib.get_close_matches(path.name, sorted(file.name for file in path.parent.iterdir()), n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UserError(f"{path}: no such file.{hint}")


def _read_parquet(path: Path) -> Table:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise UserError(f"{path}: not readable as Parquet ({error}). It may be cut short, so write it anew.") from error
    return _of_frame(frame, str(path))


def _of_frame(frame: pd.DataFrame, name: str) -> Table:
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    # Categories of pandas take part in neither arithmetic nor the filling of gaps.
    categories = [column for column, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)]
    frame = frame.astype(dict.fromkeys(categories, object))
    return Table(frame.set_axis(np.arange(1, len(frame) + 1), axis=0), name)


def _read_text(path: Path) -> Table:
    delimiter = ","
    try:
        delimiter = _delimiter_of(path)
        # Blank lines are kept, because a row's number is then known whatever comes before it. The header is read
        # as a row, so that a row of more fields than it has is an error and not taken for an index.
        frame = pd.read_csv(
            path,
            sep=delimiter,
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: is empty. Write it anew.") from error
    except pd.errors.ParserError as error:
        raise UserError(f"{path}: {str(error).strip()}. Fields with a {delimiter!r} need quotes.") from error
    header = [name.strip() for name in frame.iloc[0]]
    frame = frame.set_axis(header, axis=1).set_axis(np.arange(1, len(frame) + 1), axis=0).iloc[1:]
    is_blank = np.logical_and.reduce([(frame.iloc[:, i] == "").to_numpy(bool) for i in range(len(header))])
    return Table(frame[~is_blank], str(path), path, delimiter)


def _delimiter_of(path: Path) -> str:
    """The separator of fields, by the name of the file or else by its first line."""
    with path.open(encoding="utf-8-sig") as file:
        first_line = file.readline()
    return {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower(), "\t" if "\t" in first_line else ",")


def numbers(table: Table, column: str, what: str) -> np.ndarray:
    """A column as float64.

    Args:
        table: The table.
        column: Its column.
        what: What the numbers are, for the error, e.g. `"rating"`.

    Returns:
        `[rows]` finite numbers.

    Raises:
        UserError: If a value is missing, or is not a finite number, with its place.
    """
    values = pd.to_numeric(table.frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    _check(np.isfinite(values), table, column, f"a {what} must be a number")
    return values


def seconds(table: Table, column: str) -> np.ndarray:
    """A column of unix seconds, ISO date-times or datetimes as float64 unix seconds.

    Args:
        table: The table.
        column: Its column.

    Returns:
        `[rows]` seconds since 1970-01-01 UTC. Times without a zone are taken as UTC.

    Raises:
        UserError: If a value is missing or cannot be read, with its place.
    """
    raw = table.frame[column]
    if not pd.api.types.is_datetime64_any_dtype(raw):
        values = pd.to_numeric(raw, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if np.isfinite(values).mean() >= 0.5:  # a column of numbers, so the others are the mistakes
            _check(np.isfinite(values), table, column, "a timestamp must be in unix seconds, as the others are")
            return values
    times = pd.to_datetime(raw, errors="coerce", format="ISO8601", utc=True)
    _check(times.notna().to_numpy(), table, column, "a timestamp must be unix seconds or an ISO date-time")
    return ((times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(np.float64)


def _check(is_good: np.ndarray, table: Table, column: str, rule: str) -> None:
    if not is_good.all():
        at = int(np.argmin(is_good))
        value = table.frame[column].iloc[at]
        shown = "nothing" if pd.isna(value) or value == "" else repr(value)
        raise UserError(f"{table.where(table.frame.index[at], column)}: {rule}. Received: {shown}.")


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
        values = values.map(_join_lists)
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


def _join_lists(value: object) -> object:
    return "|".join(map(str, value)) if isinstance(value, (list, tuple, set, np.ndarray)) else value


def _as_text(value: object) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def ids(table: Table, column: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a column as text: `[rows]` positions and the distinct ids that they point into.

    Args:
        table: The table.
        column: Its id column.

    Returns:
        As `distinct`, without -1.

    Raises:
        UserError: If an id is missing or blank, with its place.
    """
    codes, texts = distinct(table.frame[column])
    is_blank = np.array([not text.strip() for text in texts], dtype=bool)
    _check((codes >= 0) & ~np.append(is_blank, False)[codes], table, column, f"the {column} id is missing")
    return codes, texts


def are_integers(texts: Iterable[str]) -> bool:
    """Whether every text is an integer as Python writes it, so that reading it as one loses nothing."""
    return all(_is_integer(text) for text in texts)


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and abs(int(text)) < 2**63
