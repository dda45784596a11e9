"""From files larger than memory to a `StreamedDataset`, with memory for ids rather than for interactions."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.recfunctions import repack_fields

from zoo.data.chunks import column_names, list_files, read_chunks
from zoo.data.dataset import PARTS
from zoo.data.event_columns import CANONICAL
from zoo.data.features import read_options, vocabulary_of
from zoo.data.preparation import (
    check_arguments,
    given_parts,
    labels_of,
    read_side_tables,
    with_event_names,
)
from zoo.data.reading import Source
from zoo.data.side_features import SideFeatures
from zoo.data.stream_splits import TRAIN, StreamSplit, make_split
from zoo.data.streamed import FIELDS, ROW, SHARD_ROWS, Shards, StreamedDataset
from zoo.data.table import Table, missing_column
from zoo.data.values import distinct, ids, plain_ids
from zoo.errors import UserError
from zoo.memory import check_memory
from zoo.schema import Feature, Schema, Vocabulary

# An interaction between the two passes.
CODED = np.dtype([*ROW.descr, ("part", "u1")])

# Interactions that are put into shards at a time.
BLOCK_ROWS = 2**20

# The memory that an interaction of a kept user takes, with all that is made of it.
BYTES_KEPT = 100


def prepare_stream(
    interactions: str | Path,
    users: Source | None = None,
    items: Source | None = None,
    *,
    name: str = "data",
    columns: Mapping[str, str] | None = None,
    features: Mapping[str, object] | None = None,
    duplicates: str = "keep",
    label_threshold: float | None = None,
    split: str | Mapping[str, object] | None = None,
    seed: int = 0,
    scratch: Path | None = None,
) -> StreamedDataset:
    """Prepares interactions that are larger than memory for training.

    The files are read once. The memory holds ids, the features of users and items, and the interactions of the users
    by whom a model is evaluated.

    Args:
        interactions: A `.parquet` or `.tfrecord` file or a folder of either, with `user`, `item` and optionally
            `rating` (or `label`) and `split`. The records of TFRecord files are `tf.train.Example`s with one
            value a feature. All other columns are left out.
        users: As for `prepare`; read into memory.
        items: As for `prepare`; read into memory.
        name: What the data is called in reports.
        columns: Names for columns, name in the file to name here.
        features: What to make of columns of `users` and `items`, as for `prepare`.
        duplicates: `"keep"`: all interactions that repeat a user and item stay.
        label_threshold: If given, the label is 1 for ratings above it and 0 for others.
        split: The name of a split, or a mapping of `name` and its options: `"sample"` (see
            `zoo.data.stream_splits.sample`) or `"given"`. By default `"given"` if there is a `split` column.
        seed: Seed of the split and of how interactions are dealt to files.
        scratch: Where a folder is made for the training interactions, 12 bytes each, and 13 more while this runs;
            by default where temporary files go (the environment variable TMPDIR).

    Returns:
        A `StreamedDataset`. Its training interactions are deleted once it is forgotten.

    Raises:
        UserError: If something in the files is wrong, with file, row and column. Nothing is left behind then.

    Example:

    ```python
    data = prepare_stream("orders", split={"name": "sample", "users": 1000})
    run = zoo.train("mf", data)
    ```
    """
    check_arguments(columns, label_threshold, seed)
    if duplicates != "keep":
        raise UserError(f"A stream keeps repeated interactions. Received: duplicates={duplicates!r}. Leave it out.")
    options = read_options(features)
    names = _column_names(list_files(interactions))
    first, *_ = names
    tables = read_side_tables(users, items, columns or {}, str(first), names[first])
    files = Files(names, columns or {})
    chosen = make_split(split, "split" in files.canonical, seed)
    notes = [files.note]
    with _scratch_folder(scratch) as unfinished:
        coded = Coded(unfinished / "coded", files, label_threshold, chosen.keeps_parts)
        side = SideFeatures(tables, coded.vocabularies, options, notes)
        if side.waiting is not None:
            count = len(side.waiting.frame)
            notes.append(f"{count} items of the items table have no interactions in the stream; they were left out.")
        with _new_shards(scratch, len(coded)) as shards:
            return _deal(coded, shards, side, chosen, seed, name, notes)


@contextlib.contextmanager
def _scratch_folder(scratch: Path | None) -> Iterator[Path]:
    """A folder that is gone afterwards; a `UserError` if it cannot be made or written to."""
    try:
        with tempfile.TemporaryDirectory(prefix=".zoo-stream-", dir=scratch) as unfinished:
            yield Path(unfinished)
    except OSError as error:
        where = scratch or tempfile.gettempdir()
        raise UserError(
            f"{where}: the training interactions cannot be written there ({error.strerror}). Name a folder with "
            "room by the environment variable TMPDIR, or as the output folder of the run."
        ) from error


@contextlib.contextmanager
def _new_shards(scratch: Path | None, number: int) -> Iterator[Shards]:
    """Empty shards for a number of interactions, which are removed if filling them fails."""
    shards = Shards.temporary(scratch, -(-number // SHARD_ROWS))
    try:
        yield shards
    except BaseException:
        shards.remove()
        raise


def _column_names(paths: list[Path]) -> dict[Path, list[str]]:
    """The columns of each file, without files that have no rows and so no columns."""
    names = {path: columns for path in paths if (columns := column_names(path))}
    if not names:
        raise UserError(f"{paths[0]}: has no rows. Give a file with some.")
    return names


class Files:
    """The files to read, and which columns of them.

    Args:
        names: The columns of each file.
        columns: Names for columns, name in the file to name here.

    Raises:
        UserError: If a column is missing, or the files differ in what they have.
    """

    def __init__(self, names: Mapping[Path, list[str]], columns: Mapping[str, str]) -> None:
        self._columns, self._names = columns, names
        self.first, *_ = names
        self._written = {path: self._written_in(path) for path in names}
        self.canonical = list(self._written[self.first])
        for path in names:
            self._check_has_all(path, self.first)
            self._check_has_all(self.first, path)

    def _check_has_all(self, path: Path, other: Path) -> None:
        """Raises a `UserError` if a file lacks a column of another one."""
        lacking = next((name for name in self._written[other] if name not in self._written[path]), None)
        if lacking is not None:
            raise missing_column(str(path), self._written[other][lacking], self._names[path])

    def _written_in(self, path: Path) -> dict[str, str]:
        """The name in a file of each canonical column that is read."""
        header = with_event_names(Table(pd.DataFrame(columns=self._names[path]), str(path)), self._columns)
        both = zip(header.frame.columns, header.written_names(), strict=True)
        return {name: written for name, written in both if name in CANONICAL and name != "timestamp"}

    @property
    def note(self) -> str:
        """A note on how a stream differs from data in memory."""
        note = "A stream: repeated interactions were kept, and negatives may be items that their user has seen."
        left_out = [repr(name) for name in self._names[self.first] if name not in self._written[self.first].values()]
        if not left_out:
            return note
        return f"{note} Left out, because a stream has no order and no context: {', '.join(left_out)}."

    def chunks(self) -> Iterator[Table]:
        """All rows, chunk by chunk, under their canonical names."""
        for path, written in self._written.items():
            for table in read_chunks(path, list(written.values())):
                yield with_event_names(table, self._columns)


class Codes:
    """Numbers for ids, in the order in which these are first seen."""

    def __init__(self) -> None:
        self._code_of: dict[object, int] = {}

    def of(self, table: Table, column: str) -> np.ndarray:
        """The codes of a column's ids, int32 `[rows]`.

        Raises:
            UserError: If an id is missing or blank, with its place.
        """
        codes, values = pd.factorize(table.frame[column])
        if (codes < 0).any():
            ids(table, column)
        known = np.fromiter(map(self._code_of.get, values.tolist(), itertools.repeat(-1)), np.int32, len(values))
        is_new = known < 0
        if is_new.any():
            first_rows = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
            ids(dataclasses.replace(table, frame=table.frame.iloc[first_rows[is_new]]), column)
            known[is_new] = len(self._code_of) + np.arange(is_new.sum())
            self._code_of.update(zip(values[is_new].tolist(), known[is_new].tolist(), strict=True))
        return known[codes]

    def vocabulary(self) -> tuple[Vocabulary, np.ndarray]:
        """The vocabulary of all ids, and the index of each code in it. Ids of the same text, 1 and "1", are one."""
        codes, written = distinct(pd.Series(list(self._code_of), dtype=object))
        again, texts = plain_ids(written)
        vocabulary, indices = vocabulary_of(texts)
        return vocabulary, indices[again[codes]]


class Coded:
    """All interactions in one file, and the vocabularies of their ids.

    Args:
        path: The file to write.
        files: The files to read.
        label_threshold: See `prepare_stream`.
        has_parts: Whether the column `split` tells the part of each interaction.
    """

    def __init__(self, path: Path, files: Files, label_threshold: float | None, has_parts: bool) -> None:
        self._path = path
        codes = {"user": Codes(), "item": Codes()}
        with path.open("wb") as file:
            for table in files.chunks():
                file.write(_coded_rows(table, codes, label_threshold, has_parts).tobytes())
        if not len(self):
            raise UserError(f"{files.first}: has no rows. Give a file with some.")
        self.vocabularies: dict[str, Vocabulary] = {}
        self._indices: dict[str, np.ndarray] = {}
        for role, of_role in codes.items():
            self.vocabularies[role], self._indices[role] = of_role.vocabulary()

    def __len__(self) -> int:
        return self._path.stat().st_size // CODED.itemsize

    def blocks(self) -> Iterator[np.ndarray]:
        """The interactions in the order of the files, in blocks, with indices instead of codes."""
        with self._path.open("rb") as file:
            while block := file.read(BLOCK_ROWS * CODED.itemsize):
                rows = np.frombuffer(block, CODED).copy()
                for role, indices in self._indices.items():
                    rows[role] = indices[rows[role]]
                yield rows


def _coded_rows(table: Table, codes: Mapping[str, Codes], label_threshold: float | None, has_parts: bool) -> np.ndarray:
    rows = np.zeros(len(table.frame), CODED)
    for role, of_role in codes.items():
        rows[role] = of_role.of(table, role)
    rows["label"] = labels_of(table, label_threshold)
    if has_parts:
        rows["part"] = pd.Index(PARTS).get_indexer(pd.Index(given_parts(table)))
    return rows


class Moments:
    """Mean and standard deviation of numbers that come block by block (Chan et al., 1983, 10.2307/2683386)."""

    def __init__(self) -> None:
        self.number, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Adds a block."""
        if not len(values):
            return
        number = self.number + len(values)
        apart = float(values.mean(dtype=np.float64)) - self.mean
        self._squares += float(values.var(dtype=np.float64)) * len(values)
        self._squares += apart**2 * self.number * len(values) / number
        self.mean += apart * len(values) / number
        self.number = number

    @property
    def std(self) -> float:
        """The standard deviation."""
        return float(np.sqrt(self._squares / self.number))


def _deal(
    coded: Coded, shards: Shards, side: SideFeatures, split: StreamSplit, seed: int, name: str, notes: list[str]
) -> StreamedDataset:
    """Puts training interactions into shards and keeps those of some users in memory."""
    is_kept = split.users(side.vocabularies["user"], coded.blocks())
    num_kept = sum(int(is_kept[rows["user"]].sum()) for rows in coded.blocks())
    check_memory(
        f"Keeping {num_kept} interactions of {is_kept.sum()} users to evaluate by",
        num_kept * BYTES_KEPT,
        "Take fewer users, e.g. by --set split.name=sample --set split.options.users=1000.",
    )
    num_items = side.vocabularies["item"].size
    item_counts, positive_counts = np.zeros(num_items, np.int64), np.zeros(num_items, np.int64)
    moments, rng = Moments(), np.random.default_rng([seed, 1])
    labels: set[float] = set()
    kept = []
    for rows in coded.blocks():
        split.mark(rows, is_kept)
        kept.append(rows[is_kept[rows["user"]]])
        if len(labels) <= 2:
            labels.update(np.unique(rows["label"]).tolist())
        trained = repack_fields(rows[rows["part"] == TRAIN][list(FIELDS)])
        shards.deal(trained, rng)
        moments.add(trained["label"])
        np.add.at(item_counts, trained["item"], 1)
        np.add.at(positive_counts, trained["item"][trained["label"] > 0], 1)
    interactions = _frame(np.concatenate(kept))
    held_out = interactions["part"].value_counts()
    counts = f"{moments.number} train, {held_out.get('valid', 0)} valid, {held_out.get('test', 0)} test"
    if not moments.number:
        raise UserError(
            f"The split leaves nothing to train on: {split.about(is_kept)}: {counts}. Leave some for train."
        )
    notes.append(f"Split: {split.about(is_kept)}: {counts}.")
    return StreamedDataset(
        name=name,
        schema=_schema(side, moments),
        vocabularies=side.vocabularies,
        interactions=interactions,
        users=side.by_index("user"),
        items=side.by_index("item"),
        titles=side.titles,
        encoders=side.encoders,
        notes=notes,
        shards=shards,
        item_counts=item_counts,
        positive_counts=positive_counts,
        binary=labels == {0.0, 1.0},
    )


def _frame(rows: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame({name: np.ascontiguousarray(rows[name]) for name in FIELDS})
    return frame.assign(part=pd.Series(np.array(PARTS, object)[rows["part"]]).astype(str))


def _schema(side: SideFeatures, moments: Moments) -> Schema:
    return Schema(
        [
            Feature("user", "user", "id", side.vocabularies["user"].size),
            *(one.feature for one in side.encoded["user"]),
            Feature("item", "item", "id", side.vocabularies["item"].size),
            *(one.feature for one in side.encoded["item"]),
            Feature("label", "label", "numeric", mean=moments.mean, std=moments.std or 1.0),
        ]
    )
