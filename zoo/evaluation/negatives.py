"""Candidates drawn for users, never one that the user has seen, to rank held-out items against a sample.

What is drawn for a user depends on the data and on the seed only. It is the same for every model, for both held-out
parts, and whoever else is asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN

if TYPE_CHECKING:
    from zoo.config import NegativesConfig
    from zoo.data.dataset import Dataset, Part

# Gives the places (items minus the first known one) drawn for a user who has seen some.
_Draw: TypeAlias = "Callable[[np.random.Generator, np.ndarray, int], np.ndarray]"

# Rounds of drawing and leaving out what is seen. For users for whom that is not enough, all items get a key.
_ROUNDS = 4


def draw_candidates(dataset: Dataset, part: Part, negatives: NegativesConfig) -> np.ndarray:
    """Distinct candidates for every user of a held-out part, none of which the user has in any part.

    Args:
        dataset: The prepared data.
        part: The held-out part.
        negatives: How many are drawn, how likely each item is, and the seed.

    Returns:
        int32 item indices `[num_user_rows, number]`. They are padded with 0 for users who have seen nearly all items,
        and are 0 for users who are not in the part.

    Raises:
        UserError: If more are asked for than the catalogue has.

    Example:

    >>> from zoo.config import NegativesConfig
    >>> from zoo.data import load_dataset
    >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
    >>> draw_candidates(data, "test", NegativesConfig(number=5)).shape
    (52, 5)
    """
    from zoo.data.dataset import PARTS

    known = dataset.num_items - FIRST_KNOWN
    if negatives.number >= known:
        raise UserError(
            f"evaluate.negatives.number is {negatives.number}, and the catalogue has only {known} items, at least one "
            f"of which is held out. Draw fewer, e.g. --set evaluate.negatives.number={max(1, known // 2)}."
        )
    draw = _DRAWS[negatives.by](dataset)
    seen = dataset.sequences(*PARTS)
    candidates = np.zeros((dataset.num_users, negatives.number), np.int32)
    for user in np.unique(dataset.part(part)["user"]):
        places = np.unique(seen.of(user)) - FIRST_KNOWN
        places = places[places >= 0]
        number = min(negatives.number, known - len(places))
        drawn = draw(np.random.default_rng([negatives.seed, user]), places, number)
        candidates[user, :number] = drawn + FIRST_KNOWN
    return candidates


def _uniform(dataset: Dataset) -> _Draw:
    known = dataset.num_items - FIRST_KNOWN

    def draw(random: np.random.Generator, seen: np.ndarray, number: int) -> np.ndarray:
        unseen = random.choice(known - len(seen), number, replace=False)
        # As many places further as there are seen ones before an unseen place.
        return unseen + np.searchsorted(seen - np.arange(len(seen)), unseen, side="right")

    return draw


def _by_popularity(dataset: Dataset) -> _Draw:
    # As for negatives in training, an item that nobody chose counts as if it were chosen once.
    masses = np.maximum(dataset.popularity[FIRST_KNOWN:], 1).astype(np.float64)
    ends = np.cumsum(masses)

    def draw(random: np.random.Generator, seen: np.ndarray, number: int) -> np.ndarray:
        found = np.empty(0, np.int64)
        for _ in range(_ROUNDS):
            places = np.searchsorted(ends, random.random(2 * number) * ends[-1], side="right")
            found = _distinct(np.concatenate([found, places[~np.isin(places, seen)]]))
            if len(found) >= number:
                return found[:number]
        # The largest keys are draws without replacement, one after the other, from what is left.
        keys = np.log(masses) + random.gumbel(size=len(masses))
        keys[seen] = keys[found] = -np.inf
        return np.concatenate([found, np.argsort(-keys, kind="stable")[: number - len(found)]])

    return draw


def _distinct(places: np.ndarray) -> np.ndarray:
    """Each place once, in the order of its first draw."""
    _, first = np.unique(places, return_index=True)
    return places[np.sort(first)]


_DRAWS: dict[str, Callable[[Dataset], _Draw]] = {"uniform": _uniform, "popularity": _by_popularity}
