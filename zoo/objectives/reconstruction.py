"""Reconstruction: a user's interactions go in, and should come out again."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.data.examples import Examples
from zoo.families import ItemLogits, Recommender
from zoo.objectives.base import OBJECTIVES, Batch, Objective, is_binary, wants_ratings
from zoo.schema import FIRST_KNOWN, PADDING


@OBJECTIVES.register
class Reconstruction(Objective):
    """One example a user: its history is the input and the target.

    Args:
        model: The recommender to train, of the family item logits.
        dataset: The prepared data.
        feedback: `"implicit"`: a multinomial likelihood of the items seen (Liang et al., 2018,
            arXiv:1802.05814). `"explicit"`: squared error of the ratings of the items seen and of
            no others (AutoRec, Sedhain et al., 2015), or cross-entropy if the labels are 0 and 1.
    """

    name = "reconstruction"
    families = (ItemLogits,)

    def __init__(self, model: Recommender, dataset: Dataset, feedback: str = "implicit") -> None:
        super().__init__(model, dataset)
        self._implicit = feedback == "implicit"
        self._ratings = wants_ratings(feedback, model, dataset)
        self._events = Examples(dataset, model.query_names)
        users = np.unique(self._events.users.numpy())
        self._users = tf.constant(users, tf.int32)
        self._ends = tf.constant(self._events.first.numpy()[users + 1], tf.int32)
        self._is_binary, self._largest_rating = is_binary(dataset), dataset.schema["history_rating"].std
        self.num_examples = len(users)

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of users, and how many interactions of theirs it sums up."""
        users, ends = tf.gather(self._users, batch.examples), tf.gather(self._ends, batch.examples)
        items, ratings = self._events.before(ends, users)
        logits = tf.cast(self.model.encode_query(self._events.query(ends, users), training=True), tf.float32)
        present = tf.cast(items != PADDING, tf.float32)
        if self._implicit:
            present *= tf.cast(ratings > 0, tf.float32)
            # Padding and unknown are no items, so they have no part in the likelihood.
            normalizer = tf.reduce_logsumexp(logits[:, FIRST_KNOWN:], axis=1, keepdims=True)
            losses = normalizer - tf.gather(logits, items, axis=1, batch_dims=1)
        else:
            scores = self.model.to_scores(tf.gather(logits, items, axis=1, batch_dims=1))
            scores = tf.cast(scores, tf.float32)
            targets = tf.cast(ratings > 0, tf.float32) if self._is_binary else ratings * self._largest_rating
            if self._ratings:
                losses = tf.square(scores - targets)
            else:
                losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, scores)
        return tf.reduce_sum(losses * present), tf.reduce_sum(present)
