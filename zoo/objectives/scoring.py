"""Scores of positives and their negatives, with everything encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.errors import UserError
from zoo.families import Recommender, Towers
from zoo.objectives.base import check_at_least

# The logit of what is no negative after all. Finite, because two infinities make a NaN.
NEVER = float(np.finfo(np.float32).min)


class Scores(NamedTuple):
    """Scores of a batch, float32.

    Args:
        positive: `[n]` scores of the positives.
        negative: `[n, number]` scores of the negatives.
        lengths: Squared lengths of the vectors behind them, where the architecture is towers: of the
            queries `[n]`, the positives `[n]` and the negatives, `[n, number]` or, if shared, `[number]`.
    """

    positive: tf.Tensor
    negative: tf.Tensor
    lengths: tuple[tf.Tensor, tf.Tensor, tf.Tensor] | None = None


def score(model: Recommender, query: Mapping[str, tf.Tensor], positives: tf.Tensor, negatives: tf.Tensor) -> Scores:
    """Scores positives and negatives in training.

    Args:
        model: The recommender to train.
        query: Its query inputs, `[n, ...]`.
        positives: `[n]` item indices.
        negatives: Item indices, `[n, number]` own ones of every positive or `[number]` shared by all.

    Returns:
        `Scores`.
    """
    is_shared = negatives.shape.rank == 1
    own = positives[:, None] if is_shared else tf.concat([positives[:, None], negatives], axis=1)
    if isinstance(model, Towers):
        return _score_towers(model, query, own, negatives if is_shared else None)
    if is_shared:
        scores = model.score_shared(query, negatives, own, training=True)
    else:
        scores = model.score_items(query, own, training=True)
    scores = tf.cast(scores, tf.float32)
    return Scores(scores[:, 0], scores[:, 1:])


def _score_towers(model: Towers, query: Mapping[str, tf.Tensor], own: tf.Tensor, shared: tf.Tensor | None) -> Scores:
    queries, items = model.encode_query(query, training=True), model.encode_candidates(own, training=True)
    scores, squares = tf.reduce_sum(tf.expand_dims(queries, 1) * items, axis=-1), _squared_lengths(items)
    positive, negative = scores[:, 0], scores[:, 1:]
    lengths = _squared_lengths(queries), squares[:, 0], squares[:, 1:]
    if shared is not None:
        items = model.encode_items(shared, training=True)
        negative, lengths = tf.matmul(queries, items, transpose_b=True), (*lengths[:2], _squared_lengths(items))
    positive, negative = (tf.cast(model.to_scores(logits), tf.float32) for logits in (positive, negative))
    return Scores(positive, negative, lengths)


def sampled_softmax_losses(positive: tf.Tensor, negative: tf.Tensor, is_positive: tf.Tensor) -> tf.Tensor:
    """Cross-entropies of positives among items of a sample, in which a positive does not count once more.

    Args:
        positive: `[n]` float32 logits of the positives.
        negative: `[n, number]` float32 logits of the sample.
        is_positive: `[n, number]` bool, where the sample has the positive.

    Returns:
        `[n]`.
    """
    others = tf.where(is_positive, NEVER, negative)
    # -log(e^p / (e^p + sum of e^n)) is softplus(log of the sum - p).
    return tf.nn.softplus(tf.reduce_logsumexp(others, axis=1) - positive)


def l2_penalty(scores: Scores, queries: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Half the weighted sum of the squared lengths of all vectors, so that a weight is its decay in a step of SGD.

    Args:
        scores: The `Scores`, of towers.
        queries: Weights of the queries, `[n]`.
        positives: Weights of the positives, `[n]`.
        negatives: Weights of the negatives, `[n, number]`.

    Returns:
        A scalar.
    """
    assert scores.lengths is not None
    weighted = zip(scores.lengths, (queries, positives, negatives), strict=True)
    return 0.5 * tf.add_n([tf.reduce_sum(lengths * weights) for lengths, weights in weighted])


def check_l2(model: Recommender, l2: float) -> None:
    """Raises a `UserError` unless vectors of this model can be kept short by such a weight."""
    check_at_least("l2", l2, 0)
    if l2 and not isinstance(model, Towers):
        raise UserError(
            f"The objective's l2 is about the vectors of the family {Towers.family}; {model.architecture!r} is of the "
            f"family {model.family}. Set train.l2, the optimizer's, instead."
        )


def _squared_lengths(vectors: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(tf.cast(vectors, tf.float32)), axis=-1)
