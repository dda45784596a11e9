"""Columns of interactions beside ids, labels and times: features of requests, of items or of users."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from zoo.data.request_time import is_known_at_request
from zoo.data.table import ALIASES, Table
from zoo.data.values import distinct
from zoo.schema import Role

CANONICAL = ("user", "item", "label", "timestamp", "split")

# The chance of taking a column of random values for an attribute of users or items.
_CHANCE = 1e-6


@dataclasses.dataclass
class Events:
    """Interactions with the user and the item of each.

    Args:
        table: All of them, as they were read.
        users: `[rows]` user indices.
        items: `[rows]` item indices.
    """

    table: Table
    users: np.ndarray
    items: np.ndarray

    def of(self, role: Role) -> np.ndarray:
        """The index of each one's user or item."""
        return self.users if role == "user" else self.items

    def first_of_pairs(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that are the first of their user and item; a repeated one tells nothing new of either."""
        pairs = self.users[rows].astype(np.int64) * (int(self.items.max()) + 1) + self.items[rows]
        return rows[np.unique(pairs, return_index=True)[1]]


@dataclasses.dataclass
class EventColumns:
    """The columns of interactions by what they are features of.

    Args:
        events: The interactions.
        request: Columns that are known when a request arrives.
        declared: Those of them that are declared so.
        attributes: By role, `"item"` and `"user"`, the columns that have one value for each of them.
    """

    events: Events
    request: list[str] = dataclasses.field(default_factory=list)
    declared: set[str] = dataclasses.field(default_factory=set)
    attributes: dict[Role, list[str]] = dataclasses.field(default_factory=lambda: {"item": [], "user": []})

    def attribute(self, role: Role, name: str) -> tuple[Table, np.ndarray]:
        """The table that an attribute makes, one row for every user or item with a value, and the index of each."""
        table, indices = self.events.table, self.events.of(role)
        known = np.flatnonzero(distinct(table.frame[name])[0] >= 0)
        found, first = np.unique(indices[known], return_index=True)
        return dataclasses.replace(table, frame=table.frame.iloc[known[first]][[name]]), found


def columns_of_events(
    events: Events, options: Mapping[str, Mapping[str, object]], taken: Mapping[Role, Collection[str]], notes: list[str]
) -> EventColumns:
    """Tells what each column of interactions is a feature of.

    A column that is known when a request arrives is a feature of requests: one that is declared so, or has the name
    of a time, device, place or session. A column with one value an item is a feature of items, and one with one value
    a user is a feature of users. All others are left out, because a model would be told what only the answer tells.

    Args:
        events: The interactions.
        options: What the user said of features, as `read_options` gives it.
        taken: By role, the columns that the tables of users and items have.
        notes: Gets what was decided, in plain words.

    Returns:
        The `EventColumns`.
    """
    sorting = _Sorting(EventColumns(events), options, taken, notes)
    for name in events.table.frame.columns:
        if name not in CANONICAL:
            sorting.sort(name)
    sorting.note_left_out()
    return sorting.found


@dataclasses.dataclass
class _Sorting:
    """Columns on their way into `EventColumns`, see `columns_of_events`."""

    found: EventColumns
    options: Mapping[str, Mapping[str, object]]
    taken: Mapping[Role, Collection[str]]
    notes: list[str]
    left_out: list[str] = dataclasses.field(default_factory=list)

    def sort(self, name: str) -> None:
        """Puts a column where it belongs."""
        said = self.options.get(f"context_{name}", self.options.get(name, {}))
        if said.get("kind") == "ignore":
            return
        if said.get("at_request"):
            self.found.request.append(name)
            self.found.declared.add(name)
        elif not said and self._is_second_label(name):
            self.notes.append(f"The column {name!r} was left out because it looks like a second label.")
        elif role := _attribute_of(self.found.events, name):
            self._add_attribute(role, name)
        elif said.get("at_request", is_known_at_request(name)):
            self.found.request.append(name)
        else:
            self.left_out.append(name)

    def note_left_out(self) -> None:
        """Notes the columns that are features of nothing, and how to declare them."""
        if self.left_out:
            self.notes.append(
                "Columns of the interactions that were left out, because a server may not know them when a request "
                f"arrives: {', '.join(map(repr, self.left_out))}. "
                f"Declare those that it knows: {declaration(self.left_out[0])}."
            )

    def _is_second_label(self, name: str) -> bool:
        return "label" in self.found.events.table.frame and name.lower() in ALIASES["label"]

    def _add_attribute(self, role: Role, name: str) -> None:
        if name in self.taken.get(role, ()):
            self.notes.append(f"The column {name!r} of the interactions was not used: the {role}s table has it too.")
            return
        self.found.attributes[role].append(name)
        self.notes.append(f"The column {name!r} of the interactions has one value for each {role}: a {role} feature.")


def declaration(name: str) -> str:
    """How to say that a column is known when a request arrives."""
    return f"features: {{{name}: {{at_request: true}}}}"


def _attribute_of(events: Events, name: str) -> Role | None:
    """The role that a column has one value for each of: `"item"`, `"user"` or none."""
    codes, texts = distinct(events.table.frame[name])
    if len(texts) < 2:
        return None
    known = np.flatnonzero(codes >= 0)
    counted = events.first_of_pairs(known)
    largest_share = np.bincount(codes[counted]).max() / len(counted)
    roles: tuple[Role, ...] = ("item", "user")
    for role in roles:
        indices = events.of(role)
        repeats = len(counted) - len(np.unique(indices[counted]))
        # Random values repeat the one before with a chance of at most the share of the most frequent one.
        if repeats * np.log(largest_share) > np.log(_CHANCE):
            continue
        value_of = np.empty(int(indices.max()) + 1, codes.dtype)
        value_of[indices[known]] = codes[known]
        if (value_of[indices[known]] == codes[known]).all():
            return role
    return None
