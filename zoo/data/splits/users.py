"""Whole users are held out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.data.splits import SPLITS, Divided, Split, check_shares, said_of_ties, with_parts
from zoo.errors import UserError


class Users(Split):
    """Whole users are held out; most of what they did is the query, the rest is to be found.

    Only users with two or more interactions are held out, because one interaction leaves nothing to query with.

    Args:
        valid: The share of the users for validation.
        test: The share of the users for testing.
        seed: Seed of the draw.
        holdout: The share of a held-out user's interactions that is to be found, at least one of them.
    """

    name = "users"

    def divide(
        self, frame: pd.DataFrame, valid: float = 0.1, test: float = 0.2, seed: int = 0, holdout: float = 0.2
    ) -> Divided:
        """See `Split.divide`."""
        check_shares(valid, test)
        check_holdout(holdout)
        rng = np.random.default_rng(seed)
        codes, _ = pd.factorize(frame["user"])
        counts = np.bincount(codes)
        part_of_user = hold_out_users(counts, valid, test, rng)
        is_ordered = "timestamp" in frame.columns
        order = np.argsort(frame["timestamp"], kind="stable") if is_ordered else rng.permutation(len(frame))
        position = pd.Series(codes[order]).groupby(codes[order]).cumcount().to_numpy()
        rank = np.empty(len(frame), np.int64)
        rank[order] = position
        num_query = counts - number_to_find(counts, holdout)
        parts = part_of_user[codes]
        parts[(parts != "train") & (rank < num_query[codes])] = "query"
        held = {part: int((part_of_user == part).sum()) for part in ("valid", "test")}
        which, ties = ("the latest", said_of_ties(frame)) if is_ordered else ("random", "")
        note = (
            f"by user ({held['valid']} users held out for valid, {held['test']} for test; "
            f"{which} {holdout:.0%} of their interactions to be found, seed={seed}{ties})"
        )
        return with_parts(frame, parts, note)


def check_holdout(holdout: float) -> None:
    """Raises a `UserError` unless the share leaves something to query with and something to find."""
    if not 0 < holdout < 1:
        raise UserError(f"Expected holdout between 0 and 1. Received: {holdout!r}.")


def hold_out_users(counts: np.ndarray, valid: float, test: float, rng: np.random.Generator) -> np.ndarray:
    """The part of every user, object `[num_users]`, of the users' numbers of interactions."""
    eligible = rng.permutation(np.flatnonzero(counts >= 2))
    num_test, num_valid = round(len(counts) * test), round(len(counts) * valid)
    part_of_user = np.full(len(counts), "train", object)
    part_of_user[eligible[:num_test]] = "test"
    part_of_user[eligible[num_test : num_test + num_valid]] = "valid"
    return part_of_user


def number_to_find(counts: np.ndarray, holdout: float) -> np.ndarray:
    """How many of so many interactions are to be found, at least one and not all."""
    return np.clip(np.round(counts * holdout).astype(np.int64), 1, np.maximum(counts - 1, 1))


SPLITS.register(Users())
