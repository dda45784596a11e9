"""Pointwise: each interaction is a positive beside sampled negatives, or has a label of its own."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.data.examples import Events
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Batch, EventObjective, usual_feedback, wants_ratings
from zoo.objectives.samplers import ALPHA, CANDIDATES, make_sampler
from zoo.objectives.scoring import check_l2, l2_penalty, score


@OBJECTIVES.register
class Pointwise(EventObjective):
    """Cross-entropy of positives against sampled negatives, or of labels; squared error of ratings.

    Args:
        model: The recommender to train.
        dataset: The prepared data.
        feedback: `"implicit"`: interactions with a label above 0 are positives, each beside `negatives`
            items that its user has not seen (He et al., 2017, arXiv:1708.05031). `"explicit"`: the labels
            are the targets, by cross-entropy if they are 0 and 1, else by squared error; the options of
            negatives are ignored. `"auto"`: explicit for labels of 0 and 1, both present, else implicit.
        negatives: Negatives a positive.
        sampler: `"uniform"`; `"popularity"`: by the power `alpha` of how often an item is a positive;
            `"in-batch"`: other positives of the batch; `"hard"`: the highest scored of `candidates`
            uniform ones (Zhang et al., 2013, 10.1145/2484028.2484126).
        alpha: The power of popularity.
        candidates: Items of which the hard sampler takes the best.
        shared: 0 draws negatives for every positive. A number draws so many once a batch, which all its
            positives share, each weighing `negatives / shared`: one matrix product scores them.
        avoid_seen: Whether shared negatives weigh nothing for users who have seen them.
        l2: Towers only: each sample adds `l2 / 2` times the squared lengths of its query's and its item's
            vector (Rendle et al., 2020, arXiv:2005.09683).
    """

    name = "pointwise"

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        feedback: str = "auto",
        negatives: int = 4,
        sampler: str = "uniform",
        alpha: float = ALPHA,
        candidates: int = CANDIDATES,
        shared: int = 0,
        avoid_seen: bool = True,
        l2: float = 0.0,
    ) -> None:
        check_l2(model, l2)
        if feedback == "auto":
            feedback = usual_feedback(dataset)
        self._ratings = wants_ratings(feedback, model, dataset)
        self._is_implicit = feedback == "implicit"
        super().__init__(model, dataset, positives=self._is_implicit)
        self._l2, self._positive_factor = l2, 1.0
        if self._is_implicit:
            self._sampler = make_sampler(sampler, self._events, model, negatives, alpha, candidates, shared, avoid_seen)

    @classmethod
    def learns_labels(cls, options: Mapping[str, object], dataset: Dataset) -> bool:
        """Whether the labels are the targets: if the options say so, or if all are 0 and 1 and they do not."""
        feedback = options.get("feedback", "auto")
        return dataset.has_binary_labels if feedback == "auto" else feedback == "explicit"

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of interactions with their negatives, and what all of them weigh."""
        events = self._at(batch.examples)
        return self._loss_of_samples(events, batch) if self._is_implicit else self._loss_of_labels(events)

    def _loss_of_samples(self, events: Events, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        negatives, weights = self._sampler(events, batch)
        scores = score(self.model, events.query, events.items, negatives)
        # -log sigmoid(s) is softplus(-s), and -log(1 - sigmoid(s)) is softplus(s).
        losses = self._positive_factor * tf.nn.softplus(-scores.positive)
        total = tf.reduce_sum(losses) + tf.reduce_sum(weights * tf.nn.softplus(scores.negative))
        samples = 1 + tf.reduce_sum(weights, axis=1)
        if self._l2:
            total += self._l2 * l2_penalty(scores, samples, tf.ones_like(samples), weights)
        return total, tf.reduce_sum(samples)

    def _loss_of_labels(self, events: Events) -> tuple[tf.Tensor, tf.Tensor]:
        scores = score(self.model, events.query, events.items, tf.zeros([tf.size(events.items), 0], tf.int32))
        if self._ratings:
            losses = tf.square(scores.positive - events.labels)
        else:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(events.labels, scores.positive)
        total, samples = tf.reduce_sum(losses), tf.ones_like(losses)
        if self._l2:
            total += self._l2 * l2_penalty(scores, samples, samples, tf.zeros_like(scores.negative))
        return total, tf.reduce_sum(samples)
