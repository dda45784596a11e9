"""How interactions that are larger than memory are split: some users are kept in memory to evaluate by."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.dataset import PARTS
from zoo.data.splits import check_shares
from zoo.errors import UserError, unknown_name
from zoo.schema import FIRST_KNOWN, Vocabulary

TRAIN, VALID, TEST = (PARTS.index(part) for part in ("train", "valid", "test"))


class Sample:
    """Some users are drawn, and of what they did some interactions are held out at random.

    A user is drawn by a hash of its id, so most of the drawn ones stay the same while the data grows.

    Args:
        users: How many users.
        valid: The share of their interactions for validation.
        test: The share for testing.
        seed: Seed of both draws.
    """

    def __init__(self, users: int = 10_000, valid: float = 0.1, test: float = 0.2, seed: int = 0) -> None:
        if not isinstance(users, int) or users < 1:
            raise UserError(f"Expected users of at least 1 in the sample. Received: {users!r}.")
        if not isinstance(seed, int) or seed < 0:
            raise UserError(f"Expected seed as an integer of at least 0. Received: {seed!r}.")
        check_shares(valid, test)
        self._number, self._valid, self._test, self._seed = users, valid, test, seed
        self._rng = np.random.default_rng([seed, 0])

    def users(self, vocabulary: Vocabulary, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """Which users are kept.

        Args:
            vocabulary: All users.
            blocks: All interactions, block by block: arrays with `user` and `part`.

        Returns:
            `[num_user_rows]` bool.
        """
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

    def about(self, is_kept: np.ndarray) -> str:
        """What is done, for a note."""
        shares = f"valid={self._valid}, test={self._test}, seed={self._seed}"
        return f"sample of {is_kept.sum()} of {len(is_kept) - FIRST_KNOWN} users, random over what they did ({shares})"


class Given:
    """The split is in the data, by a column `split`. Users with held-out interactions are kept."""

    def users(self, vocabulary: Vocabulary, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """Which users are kept; see `Sample.users`."""
        is_held_out = np.zeros(vocabulary.size, bool)
        for rows in blocks:
            is_held_out[rows["user"][rows["part"] != TRAIN]] = True
        return is_held_out

    def mark(self, rows: np.ndarray, is_kept: np.ndarray) -> None:
        """Leaves the parts as they are."""

    def about(self, is_kept: np.ndarray) -> str:
        """What is done, for a note."""
        return f"as given by column 'split', which holds something out of {is_kept.sum()} users"


SPLITS: dict[str, type[Sample] | type[Given]] = {"given": Given, "sample": Sample}


def make_split(asked: str | Mapping[str, Any] | None, is_given: bool, seed: int) -> Sample | Given:
    """The split of a stream.

    Args:
        asked: A name of `SPLITS`, or a mapping of `name` and the split's options. By default `"given"` if the
            data gives one, else `"sample"`.
        is_given: Whether the interactions have a column `split`.
        seed: The seed, if the options have none.

    Returns:
        The split.

    Raises:
        UserError: If a stream cannot be split like that, or an option is unknown or out of range.
    """
    if asked is None:
        asked = "given" if is_given else "sample"
    options = dict(asked) if isinstance(asked, Mapping) else {"name": asked}
    name = options.pop("name", None)
    if name not in SPLITS:
        raise UserError(f"A stream is split by {' or '.join(map(repr, SPLITS))}. Received: split={name!r}.")
    if name == "given" and not is_given:
        raise UserError("The split 'given' needs a column 'split' in the interactions.")
    known = list(inspect.signature(SPLITS[name]).parameters)
    for option in options:
        if option not in known:
            raise unknown_name(f"option of split {name!r} of a stream", str(option), known)
    return SPLITS[name](**({"seed": seed, **options} if "seed" in known else options))
