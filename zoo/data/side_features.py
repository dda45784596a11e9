"""Features of users, items and requests beside their ids, encoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from zoo.data.column_use import use_of_feature
from zoo.data.dataset import neutral
from zoo.data.event_columns import EventColumns, Events, columns_of_events, declaration
from zoo.data.features import Column, Encoded, Options, name_columns
from zoo.data.table import Table
from zoo.data.text.encoder import Fitted
from zoo.data.values import are_integers, distinct, ids
from zoo.data.variance import MUCH, share_told
from zoo.errors import UserError, unknown_name
from zoo.schema import FIRST_KNOWN, Role, Vocabulary

_ROLES: tuple[Role, ...] = ("user", "item", "context")


@dataclasses.dataclass(frozen=True)
class Side:
    """A table of features.

    Args:
        role: What they are features of.
        table: The table, without its id.
        indices: `[rows]` the index of each row's user or item; empty for interactions.
        others: Rows of users or items without interactions, with their ids, one an id.
    """

    role: Role
    table: Table
    indices: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.int32))
    others: Table | None = None


class SideFeatures:
    """Features of users, items and requests beside their ids, encoded.

    Args:
        tables: The tables of users and items, where they exist.
        vocabularies: The vocabularies of `"user"` and `"item"`.
        options: What the user said of features, as `read_options` gives it.
        notes: Gets what was counted and decided.
        events: The interactions, if they may carry features.
        rows: `[n]` the interactions that features of requests are wanted for.
    """

    def __init__(
        self,
        tables: Mapping[Role, Table],
        vocabularies: Mapping[str, Vocabulary],
        options: Mapping[str, Options],
        notes: list[str],
        events: Events | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self._sides = [_rows_of(table, role, vocabularies[role], notes) for role, table in tables.items()]
        found = None
        if events is not None:
            found = columns_of_events(events, options, self._names_by_role, notes)
            self._sides += _sides_of(found, rows)
        _check_names(options, self._sides, events)
        encoded = _encode(_feature_columns(self._sides, options, notes))
        if found is not None and rows is not None:
            encoded = _without_answers(encoded, found, rows, notes)
        self._encoded = [(one, side) for one, _, side in encoded]
        self.columns = [use_of_feature(column.table, column.name, one.feature) for one, column, _ in encoded]
        self.encoded: dict[Role, list[Encoded]] = {role: self._of_role(role) for role in _ROLES}
        notes += [one.note for one in self._features if one.note]
        self.vocabularies = {**vocabularies, **self._vocabularies_of_features}

    @property
    def _names_by_role(self) -> dict[Role, list[str]]:
        return {side.role: list(side.table.frame.columns) for side in self._sides}

    def _of_role(self, role: Role) -> list[Encoded]:
        return [one for one, side in self._encoded if side.role == role]

    @property
    def _features(self) -> list[Encoded]:
        return [one for role in _ROLES for one in self.encoded[role]]

    @property
    def _vocabularies_of_features(self) -> dict[str, Vocabulary]:
        return {one.feature.name: one.vocabulary for one in self._features if one.vocabulary is not None}

    @property
    def encoders(self) -> dict[str, Fitted]:
        """The fitted state of text encoders, by feature name."""
        return {one.feature.name: one.fitted for one in self._features if one.fitted is not None}

    def by_index(self, role: Role) -> dict[str, np.ndarray]:
        """The encoded features of users or items by name, one row an index."""
        size = self.vocabularies[role].size
        return {one.feature.name: _scatter(one, side.indices, size) for one, side in self._encoded if side.role == role}

    @property
    def waiting(self) -> Table | None:
        """The rows of items without interactions, if there are any."""
        return next((side.others for side in self._sides if side.others is not None), None)

    @property
    def titles(self) -> np.ndarray:
        """The texts that are shown to a person, one for every item index."""
        titles = np.array(["", "", *map(str, self.vocabularies["item"].values)], dtype=object)
        for side in self._sides:
            if side.role == "item" and "title" in side.table.frame.columns:
                codes, texts = distinct(side.table.frame["title"])
                titles[side.indices] = np.where(codes >= 0, np.append(texts, "")[codes], titles[side.indices])
        return titles


def _sides_of(found: EventColumns, rows: np.ndarray | None) -> list[Side]:
    """The tables that the columns of interactions make."""
    sides = [Side(role, *found.attribute(role, name)) for role, names in found.attributes.items() for name in names]
    frame = found.events.table.frame[found.request]
    frame = frame if rows is None else frame.iloc[rows]
    return [*sides, Side("context", dataclasses.replace(found.events.table, frame=frame))]


def _rows_of(table: Table, role: Role, vocabulary: Vocabulary, notes: list[str]) -> Side:
    """The rows of a table whose ids have interactions, one an id."""
    codes, texts = ids(table, role)
    known = pd.Index([str(value) for value in vocabulary.values], dtype=object)
    positions = known.get_indexer(pd.Index(texts, dtype=object))[codes]
    is_last = ~pd.Series(codes).duplicated(keep="last").to_numpy()
    is_kept = is_last & (positions >= 0)
    is_other, has_no_row = is_last & (positions < 0), len(known) - int(is_kept.sum())
    waits = is_other & _can_wait(role, texts, vocabulary)[codes]
    counts = {
        f"{{}} repeated rows in the {role}s table; the last was kept.": int((~is_last).sum()),
        f"{{}} {role}s of the {role}s table have no interactions; they were left out.": int((is_other & ~waits).sum()),
        f"{{}} {role}s have interactions but no row in the {role}s table; their features are unknown.": has_no_row,
    }
    notes += [note.format(count) for note, count in counts.items() if count]
    if not is_kept.any():
        raise UserError(f"{table.name}: none of its {role}s has interactions. Use the same ids in both tables.")
    kept = dataclasses.replace(table, frame=table.frame[is_kept].drop(columns=role))
    others = dataclasses.replace(table, frame=table.frame[waits]) if waits.any() else None
    return Side(role, kept, positions[is_kept] + FIRST_KNOWN, others)


def _can_wait(role: Role, texts: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """`[texts]` whether an id without interactions can be added later: of an item, of the kind of the known ids."""
    if role != "item":
        return np.zeros(len(texts), bool)
    return np.array([not vocabulary.is_integer or are_integers([text]) for text in texts], bool)


def _check_names(options: Mapping[str, Options], sides: list[Side], events: Events | None) -> None:
    """Raises a `UserError` where something is said of a column that does not exist, or is no column of interactions."""
    of_events = [] if events is None else list(events.table.frame.columns)
    mentioned = _names_by_mention(sides, of_events)
    declarable = {*of_events, *(f"context_{name}" for name in of_events)}
    for name, said in options.items():
        if name not in mentioned:
            raise unknown_name("column in features", name, set(mentioned.values()))
        if "at_request" in said and name not in declarable:
            raise UserError(
                f"Feature {name!r} takes no at_request: only columns of interactions in memory do. Leave it out."
            )


def _names_by_mention(sides: list[Side], of_events: list[str]) -> dict[str, str]:
    """The column that each name means which a user may say something of: that of a column, or one with its role."""
    columns: set[tuple[Role, str]] = {(side.role, name) for side in sides for name in side.table.frame.columns}
    columns |= {("context", name) for name in of_events}
    return {f"{role}_{name}": name for role, name in columns} | {name: name for _, name in columns}


def _feature_columns(sides: list[Side], options: Mapping[str, Options], notes: list[str]) -> list[tuple[Column, Side]]:
    """The columns to be features; what is ignored is noted, unless the user said so."""
    columns: list[tuple[Column, Side]] = []
    for side in sides:
        for name in side.table.frame.columns:
            column = Column(side.table, name, side.role, _said_of(side.role, name, options))
            if column.kind != "ignore":
                columns.append((column, side))
            elif column.reason:
                notes.append(f"The {side.role} column {name!r} was ignored: it {column.reason}.")
    return columns


def _said_of(role: Role, name: str, options: Mapping[str, Options]) -> Options:
    """The options of a column. Those by the name with the role in front are of this role only."""
    with_role = f"{role}_{name}"
    nothing: Options = {}
    default: Options = {"kind": "text"} if with_role == "item_title" else {}
    return {**default, **options.get(with_role, options.get(name, nothing))}


def _encode(columns: list[tuple[Column, Side]]) -> list[tuple[Encoded, Column, Side]]:
    names = name_columns([column for column, _ in columns])
    return [(column.encode(name), column, side) for (column, side), name in zip(columns, names, strict=True)]


def _without_answers(
    encoded: list[tuple[Encoded, Column, Side]], found: EventColumns, rows: np.ndarray, notes: list[str]
) -> list[tuple[Encoded, Column, Side]]:
    """The features without those of requests that the item settles, which no server knows before an item is chosen."""
    kept, first = [], found.events.first_of_pairs(rows)
    is_first, items = np.isin(rows, first), found.events.items[rows]
    for one, column, side in encoded:
        share = 0.0
        if side.role == "context":
            share = share_told(dataclasses.replace(one, values=one.values[is_first]), items[is_first])
        is_declared = column.name in found.declared
        if share > MUCH:
            notes.append(_note_of_answer(column.name, share, is_declared))
        if share <= MUCH or is_declared:
            kept.append((one, column, side))
    return kept


def _note_of_answer(name: str, share: float, is_declared: bool) -> str:
    told = f"The column {name!r} of the interactions tells {share:.0%} of what the item is"
    if is_declared:
        return f"{told}. It was used because it is declared as known when a request arrives."
    return f"{told}. It was left out. If a server knows it when a request arrives, declare it: {declaration(name)}."


def _scatter(encoded: Encoded, indices: np.ndarray, num_rows: int) -> np.ndarray:
    values = np.repeat(neutral(encoded.feature)[None], num_rows, axis=0)
    values[indices] = encoded.values
    return values
