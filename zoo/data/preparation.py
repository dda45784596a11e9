"""From tables as people have them to a `Dataset`: ids and features as indices, in order and split."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from zoo.data.dataset import PARTS, Dataset
from zoo.data.event_columns import CANONICAL, Events
from zoo.data.features import Encoded, read_options, vocabulary_of
from zoo.data.readers import (
    Source,
    Table,
    ids,
    missing_column,
    numbers,
    read_table,
    seconds,
)
from zoo.data.side_features import SideFeatures
from zoo.data.splits import split as split_interactions
from zoo.data.splits import split_and_options
from zoo.errors import UserError, unknown_name
from zoo.schema import Feature, Role, Schema, Vocabulary, history_features

DUPLICATES = ("last", "first", "keep")


def prepare(
    interactions: Source,
    users: Source | None = None,
    items: Source | None = None,
    *,
    name: str = "data",
    columns: Mapping[str, str] | None = None,
    features: Mapping[str, object] | None = None,
    max_history: int | None = 200,
    duplicates: Literal["last", "first", "keep"] = "last",
    label_threshold: float | None = None,
    split: str | Mapping[str, object] | None = None,
    seed: int = 0,
) -> Dataset:
    """Prepares interactions, and what is known of users and items, for training.

    Args:
        interactions: A file or frame with `user` and `item`, and optionally `rating` (or `label`),
            `timestamp` (unix seconds or ISO date-times) and `split`. Well-known other names such as
            `userId` are understood. Other columns are features of items or users if each of these has one value,
            features of requests if they tell a time, device, place or session by their names or are declared with
            `at_request`, and else left out. The notes of the dataset name them.
        users: A file or frame with `user` and features of users.
        items: A file or frame with `item` and features of items; `title` is shown to people.
        name: What the data is called in reports.
        columns: Names for columns, name in the file to name here, e.g. `{"visitor": "user"}`.
        features: What to make of columns whose values suggest something else, by column: a kind
            (`"categorical"`, `"numeric"`, `"text"`, `"ignore"`), or a mapping with `kind`,
            `separator` and `length` (categorical lists), `encoder` and `dim` (texts), and `at_request`: whether
            a server knows this column of the interactions when a request arrives.
        max_history: The most events of a history that a model is given; `None` for all of them.
        duplicates: Which interaction of the same user and item to keep: `"last"`, `"first"`, or
            `"keep"` for all of them.
        label_threshold: If given, the label is 1 for ratings above it and 0 for others. Histories keep the
            ratings themselves.
        split: The name of a split, or a mapping of `name` and its options. By default `"given"`
            if the interactions have a `split` column, else `"random"`.
        seed: Seed of random splits.

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
    events = read_table(interactions, name="interactions")
    tables = read_side_tables(users, items, columns or {}, events.name, events.frame.columns)
    events = with_event_names(events, columns or {})
    notes: list[str] = []

    frame, vocabularies = _interactions(events, label_threshold)
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
    )


def check_arguments(columns: object, label_threshold: object, seed: object) -> None:
    """Raises a `UserError` for arguments of a wrong type: they may come from a YAML file."""
    if not isinstance(columns or {}, Mapping):
        raise UserError(f"Expected columns as a mapping, name in the file to name here. Received: {columns!r}.")
    if label_threshold is not None and not isinstance(label_threshold, (int, float)):
        raise UserError(f"Expected label_threshold as a number. Received: {label_threshold!r}.")
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"Expected seed as an integer of at least 0. Received: {seed!r}.")


def _check_choices(max_history: object, duplicates: object) -> None:
    if max_history is not None and (not isinstance(max_history, int) or max_history < 1):
        raise UserError(f"Expected max_history of at least 1. Received: {max_history!r}.")
    if duplicates not in DUPLICATES:
        raise unknown_name("policy for duplicates", str(duplicates), DUPLICATES)


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
    named = table.renamed(columns).with_known_names(*canonical, others={"id": role})
    named.require(role)
    return named


def with_event_names(events: Table, columns: Mapping[str, str]) -> Table:
    """Interactions under their canonical names; a `UserError` if they lack users or items."""
    events = events.renamed(columns).with_known_names(*CANONICAL)
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


def _in_order(frame: pd.DataFrame, duplicates: Literal["last", "first", "keep"], notes: list[str]) -> pd.DataFrame:
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


def _without_repeats(
    frame: pd.DataFrame, duplicates: Literal["last", "first", "keep"], notes: list[str]
) -> pd.DataFrame:
    """Interactions without those that repeat a user and item, unless all are to be kept."""
    repeated = frame.duplicated(["user", "item"], keep=False if duplicates == "keep" else duplicates)
    count = int(repeated.sum())
    if not count:
        return frame
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
