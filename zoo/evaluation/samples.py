"""A sample of the users of a held-out part, where ranking the whole catalogue for all of them would take long."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset, Part

# Scores of one ranking of a sample, which take some seconds: dot products, and pairs that a network reads. A figure of
# fewer users says too little.
SCORES, SCORES_OF_PAIRS = 10**9, 5 * 10**7
FEWEST_USERS = 2000


def users_that_fit(num_items: int, of_pairs: bool = False) -> int:
    """How many users are ranked at most, so that the scores are not too many; at least `FEWEST_USERS`.

    Args:
        num_items: The items that each is ranked for.
        of_pairs: Whether a network reads every pair of a user and an item.

    Example:

    >>> users_that_fit(50_000)
    20000
    """
    return max(FEWEST_USERS, (SCORES_OF_PAIRS if of_pairs else SCORES) // max(1, num_items))


def sample_users(dataset: Dataset, part: Part, number: int, seed: int = 0) -> Dataset:
    """The dataset with only some of the users of a held-out part, drawn at random.

    Args:
        dataset: The prepared data.
        part: The held-out part.
        number: How many of its users stay at most.
        seed: Seed of the draw.

    Returns:
        A `Dataset` that lacks the part's interactions of the other users; the one given if nobody is left out.

    Example:

    >>> from zoo.data import load_dataset
    >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
    >>> sample_users(data, "valid", 5).part("valid")["user"].nunique()
    5
    """
    users = np.unique(dataset.part(part)["user"])
    if len(users) <= number:
        return dataset
    kept = np.zeros(dataset.num_users, bool)
    kept[np.random.default_rng(seed).choice(users, number, replace=False)] = True
    rows = dataset.interactions
    stays = (rows["part"] != part).to_numpy() | kept[rows["user"].to_numpy()]
    return dataclasses.replace(dataset, interactions=rows[stays])
