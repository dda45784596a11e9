"""Reconstruction: a user's interactions go in, and should come out again."""

from __future__ import annotations

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Batch, is_binary, wants_ratings
from zoo.objectives.histories import UserObjective, multinomial_losses


@OBJECTIVES.register
class Reconstruction(UserObjective):
    """One example a user: its history is the input and the target.

    Args:
        model: The recommender to train, of the family item logits.
        dataset: The prepared data.
        feedback: `"implicit"`: a multinomial likelihood of the items seen (Liang et al., 2018,
            arXiv:1802.05814). `"explicit"`: squared error of the ratings of the items seen and of
            no others (AutoRec, Sedhain et al., 2015), or cross-entropy if the labels are 0 and 1.
    """

    name = "reconstruction"

    def __init__(self, model: Recommender, dataset: Dataset, feedback: str = "implicit") -> None:
        super().__init__(model, dataset)
        self._implicit = feedback == "implicit"
        self._ratings = wants_ratings(feedback, model, dataset)
        self._is_binary, self._largest_rating = is_binary(dataset), dataset.schema["history_rating"].std
        if self._implicit:
            self._check_likings()

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of users, and how many interactions of theirs it sums up."""
        known = self._histories(batch)
        logits = tf.cast(self.model.encode_query(known.query, training=True), tf.float32)
        present = known.is_event
        if self._implicit:
            present = known.is_liked
            losses = multinomial_losses(logits, known.items)
        else:
            scores = self.model.to_scores(tf.gather(logits, known.items, axis=1, batch_dims=1))
            scores = tf.cast(scores, tf.float32)
            ratings = known.ratings
            targets = tf.cast(ratings > 0, tf.float32) if self._is_binary else ratings * self._largest_rating
            if self._ratings:
                losses = tf.square(scores - targets)
            else:
                losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, scores)
        return tf.reduce_sum(losses * present), tf.reduce_sum(present)
