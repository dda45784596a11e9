"""Splits: which interactions are for training, which to choose by and which to report on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from zoo.data.dataset import PARTS
from zoo.errors import UserError, unknown_name

Split: TypeAlias = "tuple[pd.DataFrame, str]"


def leave_last_out(frame: pd.DataFrame) -> Split:
    """Every user's last interaction is for testing, the one before it for validation.

    Users with two interactions have none for validation; the one of a user with a single
    interaction is for training.

    Args:
        frame: Interactions with `user` and `timestamp`. Of equal times the later row is later.

    Returns:
        The frame with a `part` column, and a note.
    """
    _require_order(frame, "leave-last-out")
    users = frame.sort_values("timestamp", kind="stable")["user"]
    events = users.groupby(users)
    from_last = events.cumcount(ascending=False).reindex(frame.index)
    total = events.transform("size").reindex(frame.index)
    parts = np.full(len(frame), "train", object)
    parts[(from_last == 1) & (total >= 3)] = "valid"
    parts[(from_last == 0) & (total >= 2)] = "test"
    single = int((total == 1).sum())
    double = int((total == 2).sum()) // 2
    note = f"{single} users with one interaction have it in train, {double} with two have none in valid"
    return _with_parts(frame, parts, f"leave-last-out by user; {note}")


def random_ratio(frame: pd.DataFrame, valid: float = 0.1, test: float = 0.2, seed: int = 0) -> Split:
    """Interactions are dealt at random, whoever they are of.

    Args:
        frame: Interactions.
        valid: The share for validation.
        test: The share for testing.
        seed: Seed of the draw.

    Returns:
        The frame with a `part` column, and a note.
    """
    check_shares(valid, test)
    order = np.random.default_rng(seed).permutation(len(frame))
    num_test, num_valid = round(len(frame) * test), round(len(frame) * valid)
    parts = np.full(len(frame), "train", object)
    parts[order[:num_test]] = "test"
    parts[order[num_test : num_test + num_valid]] = "valid"
    return _with_parts(frame, parts, f"random over interactions (valid={valid}, test={test}, seed={seed})")


def by_time(frame: pd.DataFrame, valid: float = 0.1, test: float = 0.2, warm_up: int = 0) -> Split:
    """Two moments part the data, for everyone alike: training before, then validation, then testing.

    Args:
        frame: Interactions with `timestamp`. Those of the same time stay together.
        valid: The share for validation.
        test: The share for testing.
        warm_up: How many first interactions of every user only stand in histories: they are neither trained
            on nor asked about, and the shares are of the others.

    Returns:
        The frame with a `part` column, where `"query"` marks first interactions, and a note.
    """
    _require_order(frame, "time")
    check_shares(valid, test)
    if not isinstance(warm_up, int) or warm_up < 0:
        raise UserError(f"Expected warm_up as an integer of at least 0. Received: {warm_up!r}.")
    times = frame["timestamp"].to_numpy()
    users = frame.sort_values("timestamp", kind="stable")["user"]
    is_first = (users.groupby(users).cumcount().reindex(frame.index) < warm_up).to_numpy()
    counted = np.append(np.sort(times[~is_first]), np.inf)
    valid_from = counted[round((len(counted) - 1) * (1 - valid - test))]
    test_from = counted[round((len(counted) - 1) * (1 - test))]
    parts = np.full(len(frame), "train", object)
    parts[times >= valid_from] = "valid"
    parts[times >= test_from] = "test"
    parts[is_first] = "query"
    first = f"; the first {warm_up} of every user in histories only" if warm_up else ""
    return _with_parts(frame, parts, f"by time (valid from {valid_from:.0f}, test from {test_from:.0f} seconds{first})")


def held_out_users(
    frame: pd.DataFrame, valid: float = 0.1, test: float = 0.2, seed: int = 0, holdout: float = 0.2
) -> Split:
    """Whole users are held out; most of what they did is the query, the rest is to be found.

    Only users with two or more interactions are held out, for one has nothing left to query with.

    Args:
        frame: Interactions with `user`. With `timestamp` the later ones are to be found, else random ones.
        valid: The share of the users for validation.
        test: The share of the users for testing.
        seed: Seed of the draw.
        holdout: The share of a held-out user's interactions that is to be found, at least one of them.

    Returns:
        The frame with a `part` column, where `"query"` marks what is known of held-out users, and a note.
    """
    check_shares(valid, test)
    if not isinstance(holdout, float) or not 0 < holdout < 1:
        raise UserError(f"Expected holdout between 0 and 1. Received: {holdout!r}.")
    rng = np.random.default_rng(seed)
    codes, _ = pd.factorize(frame["user"])
    counts = np.bincount(codes)
    eligible = rng.permutation(np.flatnonzero(counts >= 2))
    num_test, num_valid = round(len(counts) * test), round(len(counts) * valid)
    part_of_user = np.full(len(counts), "train", object)
    part_of_user[eligible[:num_test]] = "test"
    part_of_user[eligible[num_test : num_test + num_valid]] = "valid"
    is_ordered = "timestamp" in frame.columns
    order = np.argsort(frame["timestamp"], kind="stable") if is_ordered else rng.permutation(len(frame))
    position = pd.Series(codes[order]).groupby(codes[order]).cumcount().to_numpy()
    rank = np.empty(len(frame), np.int64)
    rank[order] = position
    num_query = counts - np.clip(np.round(counts * holdout).astype(np.int64), 1, np.maximum(counts - 1, 1))
    parts = part_of_user[codes]
    parts[(parts != "train") & (rank < num_query[codes])] = "query"
    held = {part: int((part_of_user == part).sum()) for part in ("valid", "test")}
    which = "the latest" if is_ordered else "random"
    note = (
        f"by user ({held['valid']} users held out for valid, {held['test']} for test; "
        f"{which} {holdout:.0%} of their interactions to be found, seed={seed})"
    )
    return _with_parts(frame, parts, note)


def given(frame: pd.DataFrame, column: str = "split") -> Split:
    """The split is in the data.

    Args:
        frame: Interactions.
        column: The column that says `train`, `valid`, `test` or `query`, in any case.

    Returns:
        The frame with a `part` column instead, and a note.
    """
    if column not in frame.columns:
        raise UserError(f"The split 'given' needs a column {column!r} in the interactions.")
    parts = frame[column].astype(str).str.lower()
    wrong = parts[~parts.isin(PARTS)]
    if len(wrong):
        raise unknown_name(f"part in column {column!r}", wrong.iloc[0], PARTS)
    return _with_parts(frame.drop(columns=column), parts.to_numpy(object), f"as given by column {column!r}")


SPLITS: dict[str, Callable[..., Split]] = {
    "leave-last-out": leave_last_out,
    "random": random_ratio,
    "time": by_time,
    "users": held_out_users,
    "given": given,
}


def split(frame: pd.DataFrame, name: str, **options: Any) -> Split:
    """Splits interactions by a named rule.

    Args:
        frame: Interactions.
        name: One of `SPLITS`.
        **options: What that split takes.

    Returns:
        The frame with a `part` column, and a note of what was done.

    Raises:
        UserError: If the name or an option is unknown, or nothing is left for training.

    Example:

    >>> frame = pd.DataFrame({"user": range(10), "item": range(10)})
    >>> split(frame, "random", valid=0.1, test=0.2)[1]
    'Split: random over interactions (valid=0.1, test=0.2, seed=0): 7 train, 1 valid, 2 test.'
    """
    known = split_options(name)
    for option in options:
        if option not in known:
            raise unknown_name(f"option of split {name!r}", option, known)
    return SPLITS[name](frame, **options)


def split_options(name: str) -> list[str]:
    """The options of a named split."""
    if name not in SPLITS:
        raise unknown_name("split", name, SPLITS)
    return list(inspect.signature(SPLITS[name]).parameters)[1:]


def _with_parts(frame: pd.DataFrame, parts: np.ndarray, rule: str) -> Split:
    found = {part: int((parts == part).sum()) for part in PARTS}
    counts = ", ".join(f"{count} {part}" for part, count in found.items() if count or part != "query")
    if not found["train"]:
        raise UserError(f"The split leaves nothing to train on: {rule}: {counts}.")
    return frame.assign(part=pd.Series(parts, frame.index).astype(str)), f"Split: {rule}: {counts}."


def _require_order(frame: pd.DataFrame, name: str) -> None:
    if "timestamp" not in frame.columns:
        raise UserError(
            f"The split {name!r} needs a timestamp column, which the interactions lack. "
            "Without one use 'random', 'users' or 'given'."
        )


def check_shares(valid: float, test: float) -> None:
    """Raises a `UserError` unless these shares are numbers that leave some for training."""
    are_numbers = isinstance(valid, (int, float)) and isinstance(test, (int, float))
    if not are_numbers or valid < 0 or test < 0 or valid + test >= 1:
        raise UserError(
            "Expected valid and test of at least 0 that leave a share for train. "
            f"Received: valid={valid!r}, test={test!r}."
        )
