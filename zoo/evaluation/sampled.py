"""The ranking of held-out items against a fixed list of candidates, as the papers that sample negatives do it.

Such figures say little about the ranking of the whole catalogue (Krichene and Rendle, 2020,
doi:10.1145/3394486.3403226). They serve only to compare with papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import UserError
from zoo.evaluation.figures import ranking_metrics
from zoo.evaluation.ranking import items_to_find, queries_of_users
from zoo.schema import PADDING

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender

USERS_AT_ONCE = 512


def per_user_sampled_ranking(
    model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], with_context: bool = True
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Ranks the held-out items of every user against the candidates that the dataset has for that user.

    A held-out item ranks last among equal scores, so that a model that scores everything alike finds nothing.
    A candidate that is held out for the user is left out of the list, because it is to be found and does not compete.
    156 lists of NCF's MovieLens split have such a candidate. NCF's own evaluation keeps scores by item, so that it
    counts once there too.

    Args:
        model: The recommender.
        dataset: The prepared data, with `candidates` for the part.
        part: The held-out part.
        ks: Where the metrics are cut.
        with_context: Whether the context is that of each user's first interaction of the part, or else neutral.

    Returns:
        The user indices, int `[num_users]`, and the value of every metric for each of them, float64 `[num_users]`.

    Raises:
        UserError: If the dataset has no candidates for one of its users, or nothing to be found.

    Example:

    ```python
    users, per_user = per_user_sampled_ranking(model, load_dataset("ml-1m-ncf"), "test", ks=(10,))
    per_user["hr@10"].mean()
    ```
    """
    users, held_out = _held_out(dataset, part)
    candidates = _candidates(dataset, part, users)
    is_held_out = (candidates[:, :, None] == held_out[:, None, :]).any(axis=2)
    # Held-out items come last, so that a stable sort leaves them behind all candidates of the same score.
    listed = np.concatenate([np.where(is_held_out, PADDING, candidates), held_out], axis=1)
    ranked = _ranked(model, dataset, part, users, listed, with_context)
    hits = (ranked >= candidates.shape[1]) & (np.take_along_axis(listed, ranked, axis=1) != PADDING)
    return users, ranking_metrics(hits, (held_out != PADDING).sum(axis=1), ks)


def _held_out(dataset: Dataset, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Users with something to find, and what: `[num_users, most]` items, padded with 0."""
    users, rows, items = items_to_find(dataset, part)
    counts = np.bincount(rows)
    places = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    held_out = np.full((len(users), counts.max()), PADDING, np.int32)
    held_out[rows, places] = items
    return users, held_out


def _candidates(dataset: Dataset, part: Part, users: np.ndarray) -> np.ndarray:
    candidates = dataset.candidates[part][users]
    without = (candidates == PADDING).all(axis=1)
    if without.any():
        (user,) = dataset.vocabularies["user"].lookup(users[[np.argmax(without)]])
        raise UserError(
            f"{dataset.name}: user {user!r} has items in the {part} part and no candidates to rank them against. "
            "List some for every user, or evaluate by 'full-ranking'."
        )
    return candidates


def _ranked(
    model: Recommender, dataset: Dataset, part: Part, users: np.ndarray, listed: np.ndarray, with_context: bool
) -> np.ndarray:
    """The columns of the listed items of every user, best first and padding last, `[num_users, num_columns]`."""
    import tensorflow as tf

    from zoo.families import check_finite_scores

    catalogue = model.encode_catalogue()
    ranked = np.zeros(listed.shape, np.int64)
    for start in range(0, len(users), USERS_AT_ONCE):
        rows = slice(start, start + USERS_AT_ONCE)
        inputs = queries_of_users(model, dataset, users[rows], part, with_context)
        query = {name: tf.constant(values) for name, values in inputs.items()}
        scores = model.score_items(query, tf.constant(listed[rows]), catalogue).numpy()
        check_finite_scores(scores[listed[rows] != PADDING])
        ranked[rows] = np.argsort(np.where(listed[rows] == PADDING, np.inf, -scores), axis=1, kind="stable")
    return ranked
