"""Bayesian personalized ranking: a positive should score above a negative (Rendle et al., 2009, arXiv:1205.2618)."""

from __future__ import annotations

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Batch, EventObjective
from zoo.objectives.samplers import ALPHA, CANDIDATES, make_sampler
from zoo.objectives.scoring import check_l2, l2_penalty, score


@OBJECTIVES.register
class BPR(EventObjective):
    """`-log sigmoid` of the score of a positive minus that of a negative.

    Args:
        model: The recommender to train.
        dataset: The prepared data; interactions with a label above 0 are positives.
        negatives: Negatives a positive, each a pair of its own.
        sampler: See `Pointwise`.
        alpha: See `Pointwise`.
        candidates: See `Pointwise`.
        l2: Towers only: each pair adds `l2 / 2` times the squared lengths of the vectors of its query and
            of its two items.
    """

    name = "bpr"

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        negatives: int = 1,
        sampler: str = "uniform",
        alpha: float = ALPHA,
        candidates: int = CANDIDATES,
        l2: float = 0.0,
    ) -> None:
        super().__init__(model, dataset)
        check_l2(model, l2)
        self._l2 = l2
        self._sampler = make_sampler(sampler, self._events, model, negatives, alpha, candidates)

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of the pairs of a batch, and how many there are."""
        events = self._at(batch.examples)
        negatives, weights = self._sampler(events, batch)
        scores = score(self.model, events.query, events.items, negatives)
        total = tf.reduce_sum(weights * tf.nn.softplus(scores.negative - scores.positive[:, None]))
        pairs = tf.reduce_sum(weights, axis=1)
        if self._l2:
            total += self._l2 * l2_penalty(scores, pairs, pairs, weights)
        return total, tf.reduce_sum(pairs)
