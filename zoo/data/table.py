"""A table of raw values that knows where each of them stands in its source."""

from __future__ import annotations

import csv
import dataclasses
import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data.text_file import TextFile
from zoo.errors import UserError

ALIASES: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "userid", "uid"),
    "item": ("item_id", "itemid", "movieid", "movie_id", "product_id"),
    "label": ("rating", "score"),
    "timestamp": ("time", "ts", "date", "datetime"),
    "split": (),
    "title": (),
}


@dataclasses.dataclass
class Table:
    """A frame that remembers where its rows came from.

    Args:
        frame: The values. Its index counts the records of the source from 1, a header included.
        name: The source as people know it: a path, or what the frame is.
        file: The text file of fields that it was read from, if it was.
        has_header: Whether the source names its columns. If not, they are called `"1"`, `"2"` and so on.
        written_as: The name in the source of every column that was renamed.
        notes: What was found out about the source, in plain words.
        lists: The columns whose values were lists. They are texts of values joined by `"|"`.
        read_by: The options by which the source was read, those found out included.
        missing_ids: Texts that are no ids, in small letters.
    """

    frame: pd.DataFrame
    name: str
    file: TextFile | None = None
    has_header: bool = True
    written_as: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    lists: frozenset[str] = frozenset()
    read_by: dict[str, object] = dataclasses.field(default_factory=dict)
    missing_ids: frozenset[str] = frozenset({""})

    def where(self, record: int, column: str) -> str:
        """The place of a value, for an error message."""
        return f"{self.name}, row {self._line(record)}, column {self.written_as.get(column, column)!r}"

    def _line(self, record: int) -> int:
        """The line on which a record starts. They differ once a quoted field holds a line break."""
        if self.file is None:
            return record
        with self.file.open() as lines:
            reader = csv.reader(lines, **self.file.csv_format())
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
            self,
            frame=self.frame.set_axis(names, axis=1),
            written_as={**self.written_as, **written_as},
            lists=frozenset(columns.get(name, name) for name in self.lists),
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
                raise missing_column(self.name, name, self.written_names(), has_header=self.has_header)

    def written_names(self) -> list[str]:
        """The columns as the source calls them."""
        return [self.written_as.get(name, name) for name in self.frame.columns]


def save_table(table: Table, path: Path) -> None:
    """Writes a table to a Parquet file, its values as texts and gaps as gaps."""
    texts = {name: [None if pd.isna(value) else str(value) for value in table.frame[name]] for name in table.frame}
    frame = pd.DataFrame(texts, dtype=object)
    frame.attrs = {"name": table.name, "lists": sorted(table.lists)}
    frame.to_parquet(path, index=False)


def read_saved_table(path: Path) -> Table:
    """The table that `save_table` wrote."""
    frame = pd.read_parquet(path)
    table = of_frame(frame, frame.attrs["name"])
    return dataclasses.replace(table, lists=frozenset(frame.attrs["lists"]))


def _aliases(name: str, others: Mapping[str, str]) -> list[str]:
    """The names that a canonical column may go by, likeliest first."""
    return [name, *ALIASES[name], *(alias for alias, real in others.items() if real == name)]


def repeated(names: Iterable[str]) -> list[str]:
    """The names that are there more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def missing_column(source: str, column: str, known: Iterable[str], *, has_header: bool = True) -> UserError:
    """The error for a column that is not there: the near names, and the columns that are."""
    known = list(known)
    # Names are compared without case or underscores, which is how they most often differ.
    plain = {name.lower().replace("_", ""): name for name in known}
    near = difflib.get_close_matches(column.lower().replace("_", ""), plain, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(plain[name]) for name in near)}?" if near else ""
    shown = ", ".join(known[:50]) + (f" and {len(known) - 50} more" if len(known) > 50 else "")
    if not has_header:
        hint = f" It has no header, so say which column it is, e.g. columns: {{'1': {column}}}."
    return UserError(f"{source}: has no column {column!r}.{hint} Its columns: {shown}.")


def of_frame(frame: pd.DataFrame, name: str) -> Table:
    """A table of a frame of any origin, with text as names and plain values.

    Args:
        frame: The frame. Bytes are taken for UTF-8 text, and categories for their values.
        name: What it is called in errors.

    Raises:
        UserError: If two columns have one name.
    """
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    twice = repeated(frame.columns)
    if twice:
        raise UserError(f"{name}: has the column {twice[0]!r} more than once. Rename or drop one.")
    # Categories of pandas take part in neither arithmetic nor the filling of gaps.
    categories = [column for column, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)]
    frame = frame.astype(dict.fromkeys(categories, object))
    for column in frame.select_dtypes(object):
        if pd.api.types.infer_dtype(frame[column]) in ("bytes", "mixed"):
            frame[column] = of_objects(map(_decoded, frame[column]), frame.index)
    return Table(frame.set_axis(np.arange(1, len(frame) + 1), axis=0), name)


def of_objects(values: Iterable[object], index: pd.Index) -> pd.Series:
    """Values as they are. `Series.map` makes floats of integers beside gaps, which loses digits."""
    return pd.Series(list(values), index, dtype=object)


def _decoded(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
