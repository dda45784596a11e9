"""The ranking of the whole catalogue for every user of a held-out part, and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import UserError
from zoo.evaluation.figures import ranking_metrics
from zoo.evaluation.hits import hits_of, is_among
from zoo.schema import PADDING

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset, Part
    from zoo.data.sequences import Sequences
    from zoo.families import Recommender

# The number of users that are ranked in one call keeps its scores below SCORES_AT_ONCE and is within these bounds. More
# users would not be faster, and a sequence model needs memory for each.
FEWEST_USERS, MOST_USERS = 32, 256
SCORES_AT_ONCE = 2**23

# A pair network has a row of numbers for every user and item. The rows of more users would not stay in the caches.
USERS_OF_PAIRS = 16

# The parts that are known of a user when a part is predicted.
KNOWN_BEFORE: dict[Part, tuple[Part, ...]] = {
    "valid": ("train", "query"),
    "test": ("train", "query", "valid"),
}


def per_user_ranking(
    model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], with_context: bool = True
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Ranks the whole catalogue, minus what a user has seen, for every user with held-out items.

    Args:
        model: The recommender.
        dataset: The prepared data.
        part: The held-out part.
        ks: Where the metrics are cut.
        with_context: Whether the context is that of each user's first interaction of the part, or else neutral.

    Returns:
        The user indices, int `[num_users]`, and the value of every metric for each of them, float64 `[num_users]`.

    Raises:
        UserError: If there is nothing to find, or a cut is below 1 or deeper than the catalogue.

    Example:

    >>> import zoo
    >>> from zoo.data import load_dataset
    >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
    >>> users, per_user = per_user_ranking(zoo.build("mf", data.schema), data, "test", ks=(5, 10))
    >>> per_user["ndcg@10"].shape == users.shape
    True
    """
    from zoo.families import Pairs, check_finite_scores

    before = KNOWN_BEFORE[part]
    seen = dataset.sequences(*before)
    users, rows, items = items_to_find(dataset, part)
    # Users with histories of like length share a call, so that little is padding.
    order = np.argsort(seen.counts[users], kind="stable")
    catalogue = model.encode_catalogue()
    ranked = np.zeros((len(users), max(ks)), np.int32)
    at_once = min(MOST_USERS, max(FEWEST_USERS, SCORES_AT_ONCE // dataset.num_items))
    if isinstance(model, Pairs):
        at_once = USERS_OF_PAIRS
    for start in range(0, len(order), at_once):
        chosen = order[start : start + at_once]
        query = queries_of_users(model, dataset, users[chosen], part, with_context)
        exclude, _ = seen.padded(users[chosen])
        ranked[chosen], scores = model.recommend(query, max(ks), exclude=exclude, catalogue=catalogue)
        check_finite_scores(scores[ranked[chosen] != PADDING])
    hits = hits_of(ranked, rows, items)
    return users, ranking_metrics(hits, np.bincount(rows), ks)


def queries_of_users(
    model: Recommender, dataset: Dataset, users: np.ndarray, part: Part, with_context: bool
) -> dict[str, np.ndarray]:
    """The query tensors of users, asked at the moment of their first interaction of a held-out part.

    Args:
        model: The recommender.
        dataset: The prepared data.
        users: User indices, int `[batch]`.
        part: The held-out part.
        with_context: Whether the context is that of the interaction, or else neutral.

    Returns:
        One array an input, `[batch, *feature.shape]`.
    """
    from zoo.data.dataset import neutral

    query = dataset.queries(model.query_names, users, *KNOWN_BEFORE[part], context=part)
    if not with_context:
        for feature in dataset.schema.role("context"):
            if feature.name in query:
                query[feature.name] = np.repeat(neutral(feature)[None], len(users), axis=0)
    return query


def items_to_find(dataset: Dataset, part: Part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The items that a ranking should find: held-out items with a label above 0 that their user had not seen before.

    Args:
        dataset: The prepared data.
        part: The held-out part.

    Returns:
        The indices of users with something to find, int `[num_users]`, ascending; and for every item to find,
        each once, the place of its user among them and its index, both int `[num_pairs]`, ordered by user and item.

    Raises:
        UserError: If there is nothing to find.

    Example:

    >>> from zoo.data import load_dataset
    >>> users, rows, items = items_to_find(load_dataset("synthetic"), "test")
    >>> len(items[rows == 0]) >= 1
    True
    """
    pairs = _pairs(dataset.sequences(part), dataset.num_items)[dataset.sequences(part).labels > 0]
    pairs = np.sort(pairs)
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    seen = np.sort(_pairs(dataset.sequences(*KNOWN_BEFORE[part]), dataset.num_items))
    pairs = pairs[~is_among(pairs, seen)]
    if not len(pairs):
        raise UserError(f"No user has a new item with a label above 0 in the {part} part of {dataset.name}.")
    users, rows = np.unique(pairs // dataset.num_items, return_inverse=True)
    return users, rows, pairs % dataset.num_items


def _pairs(events: Sequences, num_items: int) -> np.ndarray:
    """User and item of every event as one number: `user * num_items + item`, int64."""
    return np.repeat(np.arange(len(events.counts)) * num_items, events.counts) + events.items
