"""The interactions of every user in the order of time, and the histories in them."""

from __future__ import annotations

import dataclasses

import numpy as np

from zoo.schema import SECONDS_A_DAY


@dataclasses.dataclass(frozen=True)
class Sequences:
    """The items of every user in time order, one after the other.

    Args:
        offsets: `[num_user_rows + 1]`; the events of user index `u` are `offsets[u]:offsets[u + 1]`.
        items: `[num_events]` item indices.
        labels: `[num_events]` labels.
        ratings: `[num_events]` ratings as the feature `history_rating` has them.
        times: `[num_events]` seconds; `None` where events have no time.
    """

    offsets: np.ndarray
    items: np.ndarray
    labels: np.ndarray
    ratings: np.ndarray
    times: np.ndarray | None = None

    def of(self, user: int) -> np.ndarray:
        """The item indices of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    @property
    def counts(self) -> np.ndarray:
        """The number of events of every user row."""
        return np.diff(self.offsets)

    def padded(self, users: np.ndarray, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The most recent events of the given users, padded in front.

        Args:
            users: `[batch]` user indices.
            length: Width of the result; by default the longest sequence among the users (at least 1).

        Returns:
            Item indices (int32) and labels (float32), both `[batch, length]`.
        """
        if length is None:
            length = max(1, int(self.counts[users].max(initial=0)))
        positions, exists = self._last(users, self.offsets[np.asarray(users) + 1], length)
        return _where(exists, self.items, positions, np.int32), _where(exists, self.labels, positions, np.float32)

    def history(self, users: np.ndarray, ends: np.ndarray, asked: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """The history features of the given users, padded in front.

        Args:
            users: `[batch]` user indices.
            ends: `[batch]` positions among these events; those of the user before it are the history.
            asked: `[batch]` seconds, the moments asked about; not used if events have no time.
            length: Width of the result.

        Returns:
            `history`, `history_rating` and, of events with a time, `history_age`, all `[batch, length]`.
        """
        positions, exists = self._last(users, ends, length)
        found = {
            "history": _where(exists, self.items, positions, np.int32),
            "history_rating": _where(exists, self.ratings, positions, np.float32),
        }
        if self.times is not None:
            seconds = np.asarray(asked)[:, None] - _where(exists, self.times, positions, np.float64)
            days = np.maximum(seconds, 0) / SECONDS_A_DAY
            found["history_age"] = np.where(exists, days, 0).astype(np.float32)
        return found

    def _last(self, users: np.ndarray, ends: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """The positions of the `length` events before each end, and whether there are such of the user."""
        positions = np.asarray(ends)[:, None] - length + np.arange(length)
        exists = positions >= self.offsets[np.asarray(users)][:, None]
        return np.where(exists, positions, 0), exists


def _where(exists: np.ndarray, values: np.ndarray, positions: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """The values at positions where they exist, else 0."""
    if not len(values):
        return np.zeros(exists.shape, dtype)
    return np.where(exists, values[positions], 0).astype(dtype)
