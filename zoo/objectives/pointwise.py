"""Pointwise: each interaction is a positive beside sampled negatives, or has a label of its own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.data.examples import Examples
from zoo.errors import UserError
from zoo.objectives.base import Objective, wants_ratings
from zoo.objectives.negatives import UniformNegatives
from zoo.recommender import Recommender


class Pointwise(Objective):
    """Cross-entropy of positives against sampled negatives, or of labels; squared error of ratings.

    Args:
        model: The recommender to train.
        dataset: The prepared data.
        feedback: `"implicit"`: interactions with a label above 0 are positives, and for each one
            `negatives` items the user has not met are drawn. `"explicit"`: the labels are the targets,
            by cross-entropy if they are 0 and 1, else by squared error.
        negatives: Negatives a positive (implicit feedback only).
    """

    def __init__(self, model: Recommender, dataset: Dataset, feedback: str = "implicit", negatives: int = 4) -> None:
        super().__init__(model, dataset)
        self._ratings = wants_ratings(feedback, model, dataset)
        self._events = Examples(dataset, model.query_names)
        # What is asked in the end decides: a split in time asks to continue a history, any other to complete it.
        self._completes = not dataset.is_split_in_time
        labels = self._events.labels.numpy()
        implicit = feedback == "implicit"
        if implicit and negatives < 1:
            raise UserError(f"negatives must be at least 1. Received: {negatives}.")
        rows = np.flatnonzero(labels > 0) if implicit else np.arange(len(labels))
        if not len(rows):
            raise UserError("No interaction of the training part has a label above 0, so there is no positive.")
        self._rows = tf.constant(rows, tf.int32)
        self.num_examples = len(rows)
        self._negatives = UniformNegatives(self._events, negatives) if implicit else None

    def loss(self, examples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The mean loss of a batch of interactions, each with its negatives."""
        events = tf.gather(self._rows, examples)
        users = tf.gather(self._events.users, events)
        items = tf.gather(self._events.items, events)[:, None]
        query = self._events.query(events, users, self._completes)
        if self._negatives is None:
            targets = tf.gather(self._events.labels, events)[:, None]
            weights = tf.ones_like(targets)
        else:
            drawn, weights = self._negatives(users, seed)
            items = tf.concat([items, drawn], axis=1)
            weights = tf.concat([tf.ones_like(weights[:, :1]), weights], axis=1)
            targets = tf.concat([tf.ones_like(weights[:, :1]), tf.zeros_like(weights[:, 1:])], axis=1)
        scores = self.model.score_items(query, items, training=True)
        if self._ratings:
            losses = tf.square(scores - targets)
        else:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, scores)
        return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
