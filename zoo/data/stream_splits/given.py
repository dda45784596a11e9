"""The files of a stream say which interactions are held out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zoo.data.stream_splits import SPLITS, TRAIN, StreamSplit
from zoo.schema import Vocabulary


@SPLITS.register
class Given(StreamSplit):
    """The split is in the data, by a column `split`. Users with held-out interactions are kept."""

    name = "given"
    keeps_parts = True

    def users(self, vocabulary: Vocabulary, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """Which users are kept; see `StreamSplit.users`."""
        is_held_out = np.zeros(vocabulary.size, bool)
        for rows in blocks:
            is_held_out[rows["user"][rows["part"] != TRAIN]] = True
        return is_held_out

    def mark(self, rows: np.ndarray, is_kept: np.ndarray) -> None:
        """Leaves the parts as they are."""

    @classmethod
    def is_default(cls, has_parts: bool) -> bool:
        """Whether the interactions say their parts."""
        return has_parts

    def about(self, is_kept: np.ndarray) -> str:
        """The rule in words, for a note."""
        return f"as given by column 'split', which holds something out of {is_kept.sum()} users"
