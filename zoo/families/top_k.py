"""The best items of a catalogue minus those that are excluded, as graph operations that every export format has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from zoo.schema import PADDING, UNKNOWN

if TYPE_CHECKING:
    from zoo.types import Tensor

# The score of a slot for which no item is left. Finite, so that JSON can carry it.
NO_ITEM_SCORE = float(np.finfo(np.float32).min)

# How many excluded items the groups of `best_of_catalogue` are made for; more are correct too, but slower.
USUAL_EXCLUDED = 100


def overwrite_excluded(scores: Tensor, exclude: Tensor) -> Tensor:
    """The scores, with `NO_ITEM_SCORE` for excluded items, padding and the unknown item; overwrites where it can.

    Args:
        scores: `[batch, num_items]` scores.
        exclude: `[batch, n]` item indices, padded with 0.
    """
    items = _with_nothing(exclude)
    rows = tf.broadcast_to(tf.range(tf.shape(items)[0])[:, None], tf.shape(items))
    places = tf.stack([rows, items], axis=-1)
    return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(items), NO_ITEM_SCORE))


def best_of_catalogue(scores: Tensor, n: int | Tensor, num_items: int, group: int) -> tuple[Tensor, Tensor]:
    """`tf.math.top_k` of `[batch, num_items]` scores in two passes, equal to it in the order of ties too.

    The best n items are in the n groups of neighbouring items whose best items are best. Taking a maximum is
    much faster than keeping a list of n, so the work is that of a top-k over the groups and of one inside n groups.

    Args:
        scores: `[batch, num_items]` scores.
        n: How many items, at most `num_items`; a number or a tensor.
        num_items: Rows of the item table.
        group: Items of a group; see `group_size`.

    Returns:
        Scores and items, `[batch, n]`, best first.
    """
    number = -(-num_items // group)
    if number * group > num_items:
        scores = tf.pad(scores, [[0, 0], [0, number * group - num_items]], constant_values=-np.inf)
    grouped = tf.reshape(scores, [-1, number, group])
    groups = tf.math.top_k(tf.reduce_max(grouped, axis=2), tf.minimum(n, number)).indices
    # In the order of the catalogue, because the first of equal scores is taken.
    groups, _ = _ascending(groups)
    chosen = tf.reshape(tf.gather(grouped, groups, batch_dims=1), [tf.shape(groups)[0], -1])
    best, places = tf.math.top_k(chosen, n)
    return best, tf.gather(groups, places // group, batch_dims=1) * group + places % group


def group_size(n: int, num_items: int) -> int:
    """Items of a group for which `best_of_catalogue` is fast: near `sqrt(num_items / n)`, and even if it can be.

    Where no group is left shorter than the others, scores need not be copied.
    """
    best = max(math.isqrt(num_items // n), 1)
    near = sorted(range(max(best // 3, 1), 3 * best + 1), key=lambda size: abs(math.log(size / best)))
    return next((size for size in near if size > 1 and num_items % size == 0), best)


def best_of_pool(items: Tensor, scores: Tensor, exclude: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The best k items of a pool, each once, and none that is excluded.

    All items are sorted by index, an excluded one before those of the pool. Then whatever stands behind an
    equal item is to be dropped, and no comparison of every item with every excluded one is needed.

    Args:
        items: `[batch, n]` item indices of the pool, repeats allowed.
        scores: `[batch, n]` their scores.
        exclude: `[batch, m]` item indices to drop, as padding and the unknown item always are.
        k: How many items, at most `n + m`.

    Returns:
        Items and scores, `[batch, k]`, best first, of equal scores the item of the lower index; where fewer than
        `k` are left, item 0 with `NO_ITEM_SCORE`.
    """
    exclude = _with_nothing(exclude)
    keys = tf.concat([2 * exclude, 2 * items + 1], axis=1)
    keys, order = _ascending(keys)
    sorted_items = keys // 2
    every_score = tf.concat([tf.fill(tf.shape(exclude), NO_ITEM_SCORE), scores], axis=1)
    every_score = tf.gather(every_score, order, batch_dims=1)
    before = tf.concat([tf.zeros_like(sorted_items[:, :1]) - 1, sorted_items[:, :-1]], axis=1)
    every_score = tf.where(tf.equal(before, sorted_items), NO_ITEM_SCORE, every_score)
    best, places = tf.math.top_k(every_score, k)
    return tf.where(best > NO_ITEM_SCORE, tf.gather(sorted_items, places, batch_dims=1), PADDING), best


def _with_nothing(exclude: Tensor) -> Tensor:
    """The excluded items of every row, padding and the unknown item among them."""
    nothing = tf.tile([[PADDING, UNKNOWN]], [tf.shape(exclude)[0], 1])
    return tf.concat([nothing, exclude], axis=1)


def _ascending(values: Tensor) -> tuple[Tensor, Tensor]:
    """The values of each row in ascending order, and where each stood."""
    negative, places = tf.math.top_k(-values, tf.shape(values)[1])
    return -negative, places
