"""Tables of interactions as people have them: without a header, or with a column that says what happened."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from zoo.data.table import Table
from zoo.data.values import as_numbers
from zoo.errors import UserError

# Numbers above it are times and no ratings: seconds of 1973.
_EARLIEST_TIME = 1e8

# Names of the column that says what happened.
EVENT_NAMES = ("event", "event_type", "action", "behavior", "behaviour", "interaction_type")


def named_by_place(events: Table) -> Table:
    """Interactions of a file without a header, their columns named by place: user, item, rating, timestamp.

    Args:
        events: The interactions, under the names that the user gave.

    Returns:
        A `Table`, with a note of what its columns were taken for. It stays as it is if it has a header, if the user
        named one of its columns, or if there are not two to four of them.
    """
    frame = events.frame
    if events.has_header or events.written_as or not 2 <= frame.shape[1] <= 4:
        return events
    others = ["timestamp" if _looks_like_time(events, column) else "label" for column in frame.columns[2:]]
    names = ["user", "item", *others]
    if len(set(names)) < len(names):
        return events
    shown = ", ".join("rating" if name == "label" else name for name in names)
    note = f"{events.name}: has no header, so its columns were taken for {shown} (columns)."
    named = events.renamed(dict(zip(frame.columns, names, strict=True)))
    return dataclasses.replace(named, notes=[*events.notes, note])


def _looks_like_time(events: Table, column: str) -> bool:
    values = as_numbers(events.frame[column])
    if np.isnan(values).all():
        return True  # A date-time, because a rating is a number.
    return bool(np.nanmedian(values) >= _EARLIEST_TIME)


def with_missing_ids(table: Table, texts: Sequence[str]) -> Table:
    """A table whose ids are missing where they are one of these texts, or blank.

    Raises:
        UserError: If it is no list of texts.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence) or any(not isinstance(text, str) for text in texts):
        raise UserError(f"Expected missing_ids as a list of texts. Received: {texts!r}.")
    return dataclasses.replace(table, missing_ids=frozenset({"", *(text.strip().lower() for text in texts)}))


def event_column(events: Table) -> str | None:
    """The column that says what happened, by its name."""
    by_lower = {name.lower(): name for name in events.frame.columns}
    return next((by_lower[name] for name in EVENT_NAMES if name in by_lower), None)


def with_event_labels(events: Table, weights: Mapping[str, float]) -> Table:
    """Interactions whose label is the weight of what happened.

    Args:
        events: The interactions, with a column that says what happened.
        weights: The weight of each kind of event. Interactions of other kinds are left out.

    Returns:
        A `Table` with a column `label`, and a note of what was left out.

    Raises:
        UserError: If there is no such column, a weight is no number, or none of the kinds is there.
    """
    column = event_column(events)
    if column is None:
        raise UserError(
            f"{events.name}: event_weights need a column that says what happened, called {' or '.join(EVENT_NAMES)}. "
            "Rename it (columns), or leave event_weights out."
        )
    for kind, weight in weights.items():
        if not isinstance(weight, (int, float)) or isinstance(weight, bool) or not math.isfinite(weight):
            raise UserError(f"event_weights: expected a number for {kind!r}. Received: {weight!r}.")
    by_kind = {str(kind).lower(): float(weight) for kind, weight in weights.items()}
    kinds = events.frame[column].astype(str).str.strip().str.lower()
    is_kept = kinds.isin(list(by_kind)).to_numpy(bool)
    if not is_kept.any():
        found = ", ".join(map(repr, sorted(kinds.unique())[:20]))
        raise UserError(f"{events.name}: none of its events is one of {', '.join(by_kind)}. They are: {found}.")
    frame = events.frame[is_kept].drop(columns=["label", column], errors="ignore")
    frame = frame.assign(label=kinds[is_kept].map(by_kind))
    left_out = int((~is_kept).sum())
    others = ", ".join(map(repr, sorted(kinds[~is_kept].unique())[:20]))
    notes = [f"{left_out} interactions were left out because event_weights lacks {others}."] if left_out else []
    return dataclasses.replace(events, frame=frame, notes=[*events.notes, *notes])
