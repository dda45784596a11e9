"""Users of a stream are drawn at random, and some of their interactions held out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from zoo.data.splits import check_shares
from zoo.data.stream_splits import SPLITS, TEST, TRAIN, VALID, StreamSplit
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, Vocabulary


@SPLITS.register
class Sample(StreamSplit):
    """Some users are drawn, and of what they did some interactions are held out at random.

    A user is drawn by a hash of its id, so most of the drawn ones stay the same while the data grows.

    Args:
        users: How many users.
        valid: The share of their interactions for validation.
        test: The share for testing.
        seed: Seed of both draws.
    """

    name = "sample"

    def __init__(self, users: int = 10_000, valid: float = 0.1, test: float = 0.2, seed: int = 0) -> None:
        if users < 1:
            raise UserError(f"Expected users of at least 1 in the sample. Received: {users!r}.")
        if seed < 0:
            raise UserError(f"Expected seed as an integer of at least 0. Received: {seed!r}.")
        check_shares(valid, test)
        self._number, self._valid, self._test, self._seed = users, valid, test, seed
        self._rng = np.random.default_rng([seed, 0])

    def users(self, vocabulary: Vocabulary, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """See `StreamSplit.users`."""
        texts = np.array([str(value) for value in vocabulary.values.tolist()], object)
        hashes = pd.util.hash_array(texts, hash_key=f"{self._seed:016d}"[-16:], categorize=False)
        is_drawn = np.zeros(vocabulary.size, bool)
        is_drawn[FIRST_KNOWN + np.argsort(hashes, kind="stable")[: self._number]] = True
        return is_drawn

    def mark(self, rows: np.ndarray, is_kept: np.ndarray) -> None:
        """Sets the `part` of interactions: of the first ones, then of those that follow them, and so on."""
        kept = np.flatnonzero(is_kept[rows["user"]])
        draws = self._rng.random(len(kept))
        rows["part"] = TRAIN
        rows["part"][kept] = np.select([draws < self._test, draws < self._test + self._valid], [TEST, VALID], TRAIN)

    @classmethod
    def is_default(cls, has_parts: bool) -> bool:
        """Whether the interactions do not say their parts themselves."""
        return not has_parts

    def about(self, is_kept: np.ndarray) -> str:
        """The rule in words, for a note."""
        shares = f"valid={self._valid}, test={self._test}, seed={self._seed}"
        return f"sample of {is_kept.sum()} of {len(is_kept) - FIRST_KNOWN} users, random over what they did ({shares})"
