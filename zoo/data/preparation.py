"""From tables as people have them to a `Dataset`: ids and features as indices, in order and split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd

from zoo.data.column_use import canonical_uses
from zoo.data.dataset import PARTS, Dataset
from zoo.data.event_columns import CANONICAL, Events
from zoo.data.event_tables import named_by_place, with_event_labels, with_missing_ids
from zoo.data.features import Encoded, read_options, vocabulary_of
from zoo.data.reading import Source, read_table
from zoo.data.side_features import SideFeatures
from zoo.data.splits import split as split_interactions
from zoo.data.splits import split_and_options
from zoo.data.table import Table, missing_column
from zoo.data.tables import Reading
from zoo.data.values import ids, numbers, seconds, with_joined_time
from zoo.errors import UserError, unknown_name
from zoo.schema import Feature, Role, Schema, Vocabulary, history_features

Duplicates: TypeAlias = Literal["last", "first", "sum", "keep"]


def prepare(
    interactions: Source,
    users: Source | None = None,
    items: Source | None = None,
    *,
    name: str = "data",
    columns: Mapping[str, str] | None = None,
    features: Mapping[str, object] | None = None,
    max_history: int | None = 200,
    duplicates: Duplicates = "last",
    label_threshold: float | None = None,
    event_weights: Mapping[str, float] | None = None,
    split: str | Mapping[str, object] | None = None,
    seed: int = 0,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    table: str | None = None,
    missing_ids: Sequence[str] | None = None,
) -> Dataset:
    """Prepares interactions, and what is known of users and items, for training.

    Args:
        interactions: A file, a database's URL, a frame or records (see `zoo.data.tables.read_table`) with `user` and
            `item`, and optionally `rating` (or `label`), `timestamp` (see `zoo.data.values.seconds`), `event` (what
            happened) and `split`. Well-known other names such as `userId` are understood. A file without a header has
            the columns user, item, rating and timestamp. Other columns are features of items or users if each of
            these has one value, features of requests if they tell a time, device, place or session by their names or
            are declared with `at_request`, and else left out. The notes of the dataset name them.
        users: A table with `user` and features of users.
        items: A table with `item` and features of items; `title` is shown to people.
        name: What the data is called in reports.
        columns: Names for columns, name in the file to name here, e.g. `{"visitor": "user"}`.
        features: What to make of columns whose values suggest something else, by column: a kind
            (`"categorical"`, `"numeric"`, `"text"`, `"ignore"`), or a mapping with `kind`,
            `separator` and `length` (categorical lists), `encoder` and `dim` (texts), and `at_request`: whether
            a server knows this column of the interactions when a request arrives.
        max_history: The most events of a history that a model is given; `None` for all of them.
        duplicates: Which interaction of the same user and item to keep: `"last"`, `"first"`, `"sum"` for the last
            with the sum of all labels, or `"keep"` for all of them.
        label_threshold: If given, the label is 1 for ratings above it and 0 for others. Histories keep the
            ratings themselves.
        event_weights: The label of each kind of event, e.g. `{"view": 1, "cart": 3, "purchase": 5}`. Interactions
            of other kinds are left out.
        split: The name of a split, or a mapping of `name` and its options. By default `"given"`
            if the interactions have a `split` column, else `"random"`.
        seed: Seed of random splits.
        separator: What separates the fields of a text file of interactions; found out by default, as the next three.
        encoding: Its encoding.
        header: Whether its first row names the columns.
        table: The table of a database, or the sheet of a workbook, that holds the interactions.
        missing_ids: Texts that are no ids. By default these are blanks, and in text files also `NULL`, `NA`, `None`
            and `nan`.

    Returns:
        A `Dataset`.

    Raises:
        UserError: If something in the tables is wrong, with file, row and column.

    Example:

    >>> frame = pd.DataFrame({"user": ["a", "a", "b"], "item": [1, 2, 1], "rating": [5, 3, 4]})
    >>> data = prepare(frame, split={"name": "random", "valid": 0, "test": 0})
    >>> data.vocabularies["user"].to_json()
    ['a', 'b']
    """
    check_arguments(columns, label_threshold, seed)
    _check_choices(max_history, duplicates)
    options = read_options(features)
    events = read_table(interactions, name="interactions", reading=Reading(separator, encoding, header, table))
    columns = names_as_text(columns)
    tables = read_side_tables(users, items, columns, events.name, events.frame.columns)
    if missing_ids is not None:
        events = with_missing_ids(events, missing_ids)
        tables = {role: with_missing_ids(one, missing_ids) for role, one in tables.items()}
    events = with_event_names(events, columns)
    if event_weights is not None:
        events = with_event_labels(events, event_weights)

    frame, vocabularies = _interactions(events, label_threshold)
    notes = list(dict.fromkeys([*events.notes, *(note for table in tables.values() for note in table.notes)]))
    coded = Events(events, frame["user"].to_numpy(), frame["item"].to_numpy())
    frame = _in_order(frame, duplicates, notes)
    frame = _split(frame, split, seed, notes)

    rows = frame.pop("row").to_numpy()
    side = SideFeatures(tables, vocabularies, options, notes, coded, rows)
    for one in side.encoded["context"]:
        frame[one.feature.name] = one.values if one.values.ndim == 1 else list(one.values)
    return Dataset(
        name=name,
        schema=_schema(frame, vocabularies, side.encoded, max_history, label_threshold),
        vocabularies=side.vocabularies,
        interactions=frame,
        users=side.by_index("user"),
        items=side.by_index("item"),
        titles=side.titles,
        encoders=side.encoders,
        notes=notes,
        columns=[
            *canonical_uses(events, CANONICAL),
            *(use for role, one in tables.items() for use in canonical_uses(one, (role,))),
            *side.columns,
        ],
        waiting=side.waiting,
    )


def check_arguments(columns: object, label_threshold: object, seed: object) -> None:
    """Raises a `UserError` for arguments of a wrong type: they may come from a YAML file."""
    expected = "Expected columns as a mapping, name in the file to name here"
    columns = columns or {}
    if not isinstance(columns, Mapping):
        raise UserError(f"{expected}. Received: {columns!r}.")
    for old, new in columns.items():
        if not isinstance(old, (str, int)) or not isinstance(new, str):
            raise UserError(f"{expected}, both of them texts. Received: {old!r}: {new!r}.")
    if label_threshold is not None and not (
        isinstance(label_threshold, (int, float)) and math.isfinite(label_threshold)
    ):
        raise UserError(f"Expected label_threshold as a number. Received: {label_threshold!r}.")
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"Expected seed as an integer of at least 0. Received: {seed!r}.")


def names_as_text(columns: Mapping[str, str] | None) -> dict[str, str]:
    """Names for columns whose former ones are texts: YAML reads those of a file without a header as numbers."""
    return {str(old): new for old, new in (columns or {}).items()}


def _check_choices(max_history: object, duplicates: object) -> None:
    if max_history is not None and (not isinstance(max_history, int) or max_history < 1):
        raise UserError(f"Expected max_history of at least 1. Received: {max_history!r}.")
    if duplicates not in get_args(Duplicates):
        raise unknown_name("policy for duplicates", str(duplicates), get_args(Duplicates))


def read_side_tables(
    users: Source | None, items: Source | None, columns: Mapping[str, str], events: str, event_columns: Iterable[str]
) -> dict[Role, Table]:
    """The tables of users and items under their canonical names.

    Args:
        users: The table of users, if there is one.
        items: The table of items, if there is one.
        columns: Names for columns of all tables, name in the file to name here.
        events: What the interactions are called in errors.
        event_columns: Their columns, as the file has them.

    Returns:
        The tables by role.

    Raises:
        UserError: If a table cannot be read, lacks its ids, or a column to rename is nowhere.
    """
    sources: dict[Role, Source | None] = {"user": users, "item": items}
    tables = {role: read_table(one, name=f"{role}s") for role, one in sources.items() if one is not None}
    known = dict.fromkeys([*event_columns, *itertools.chain(*(table.frame.columns for table in tables.values()))])
    for unknown in (column for column in columns if column not in known):
        raise missing_column(events, unknown, known)
    return {role: _side_table(table, role, columns) for role, table in tables.items()}


def _side_table(table: Table, role: Role, columns: Mapping[str, str]) -> Table:
    """A table of users or items under its canonical names; a `UserError` if it lacks its ids."""
    canonical = (role, "title") if role == "item" else (role,)
    table = table.renamed(columns)
    if not table.has_header and role not in table.frame.columns:
        table = table.renamed({"1": role})
    named = table.with_known_names(*canonical, others={"id": role})
    named.require(role)
    return named


def with_event_names(events: Table, columns: Mapping[str, str]) -> Table:
    """Interactions under their canonical names; a `UserError` if they lack users or items."""
    events = with_joined_time(named_by_place(events.renamed(columns))).with_known_names(*CANONICAL)
    events.require("user", "item")
    return events


def _interactions(events: Table, label_threshold: float | None) -> tuple[pd.DataFrame, dict[str, Vocabulary]]:
    """The canonical columns with the `row` of the table that each is from, and the vocabularies of ids."""
    vocabularies: dict[str, Vocabulary] = {}
    values: dict[str, np.ndarray] = {}
    for role in ("user", "item"):
        codes, texts = ids(events, role)
        vocabularies[role], indices = vocabulary_of(texts)
        values[role] = indices[codes]
    values["label"] = labels_of(events, label_threshold)
    if label_threshold is not None:
        values["rating"] = numbers(events, "label", "rating")
    if "timestamp" in events.frame.columns:
        values["timestamp"] = seconds(events, "timestamp")
    if "split" in events.frame.columns:
        values["split"] = given_parts(events)
    values["row"] = np.arange(len(events.frame))
    return pd.DataFrame(values), vocabularies


def labels_of(events: Table, label_threshold: float | None) -> np.ndarray:
    """The labels of interactions, float32: ratings, or 1 for those above the threshold, or 1 for all.

    Raises:
        UserError: If a rating is not a number, with its place, or there are none for the threshold.
    """
    if "label" in events.frame.columns:
        rating = numbers(events, "label", "rating")
        return (rating if label_threshold is None else rating > label_threshold).astype(np.float32)
    if label_threshold is not None:
        raise UserError(
            f"label_threshold={label_threshold} needs a rating column, which {events.name} lacks. "
            "Add the column, or leave label_threshold out."
        )
    return np.ones(len(events.frame), np.float32)


def given_parts(events: Table) -> np.ndarray:
    """The part that each interaction says it is of; a `UserError` with the place for what is none."""
    parts = events.frame["split"].astype(str).str.lower()
    is_known = parts.isin(PARTS).to_numpy()
    if not is_known.all():
        at = int(np.argmin(is_known))
        place = events.where(events.frame.index[at], "split")
        raise UserError(f"{place}: expected one of {', '.join(PARTS)}. Received: {events.frame['split'].iloc[at]!r}.")
    return parts.to_numpy(object)


def _split(frame: pd.DataFrame, asked: str | Mapping[str, object] | None, seed: int, notes: list[str]) -> pd.DataFrame:
    chosen, options = split_and_options(asked, "split" in frame.columns)
    if "seed" in chosen.options:
        options = {"seed": seed, **options}
    frame, note = split_interactions(frame, chosen.name, **options)
    notes.append(note)
    if "split" in frame.columns:
        notes.append("The split column of the interactions was not used: another split was asked for.")
    return frame.drop(columns="split", errors="ignore")


def _in_order(frame: pd.DataFrame, duplicates: Duplicates, notes: list[str]) -> pd.DataFrame:
    if "timestamp" in frame.columns:
        frame = _sorted_by_time(frame, notes)
    return _without_repeats(frame, duplicates, notes).reset_index(drop=True)


def _sorted_by_time(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    latest_so_far = frame.groupby("user", sort=False)["timestamp"].cummax()
    late = int((frame["timestamp"] < latest_so_far).sum())
    if late:
        notes.append(
            f"{late} of {len(frame)} interactions stood after a later one of the same user; all were sorted by time."
        )
    return frame.sort_values("timestamp", kind="stable")


def _without_repeats(frame: pd.DataFrame, duplicates: Duplicates, notes: list[str]) -> pd.DataFrame:
    """Interactions without those that repeat a user and item, unless all are to be kept."""
    kept = {"last": "last", "first": "first", "sum": "last", "keep": False}[duplicates]
    repeated = frame.duplicated(["user", "item"], keep=cast('Literal["last", "first", False]', kept))
    count = int(repeated.sum())
    if not count:
        return frame
    if duplicates == "sum":
        frame = frame.assign(label=frame.groupby(["user", "item"])["label"].transform("sum").astype(np.float32))
        notes.append(f"{count} interactions repeat a user and item; their labels were added up (duplicates='sum').")
        return frame[~repeated]
    if duplicates == "keep":
        notes.append(f"{count} interactions share their user and item; all were kept (duplicates='keep').")
        return frame
    what = f"the {duplicates} was kept and these were dropped (duplicates={duplicates!r})"
    notes.append(f"{count} interactions repeat a user and item; {what}.")
    return frame[~repeated]


def _schema(
    frame: pd.DataFrame,
    vocabularies: Mapping[str, Vocabulary],
    encoded: Mapping[Role, list[Encoded]],
    max_history: int | None,
    label_threshold: float | None,
) -> Schema:
    features = {role: [one.feature for one in all_of_role] for role, all_of_role in encoded.items()}
    num_items = vocabularies["item"].size
    train = frame.loc[frame["part"] == "train", "label"].to_numpy(np.float64)
    return Schema(
        [
            Feature("user", "user", "id", vocabularies["user"].size),
            *features["user"],
            Feature("item", "item", "id", num_items),
            *features["item"],
            *_history_features(frame, num_items, max_history, label_threshold),
            *features["context"],
            Feature("label", "label", "numeric", mean=float(train.mean()), std=float(train.std()) or 1.0),
        ]
    )


def _history_features(
    frame: pd.DataFrame, num_items: int, max_history: int | None, label_threshold: float | None
) -> list[Feature]:
    longest = int(np.bincount(frame["user"]).max())
    return history_features(
        num_items,
        min(max_history or longest, longest),
        float(frame["rating" if "rating" in frame else "label"].abs().max()) or 1.0,
        None if label_threshold is None else float(label_threshold),
        "timestamp" in frame,
    )
