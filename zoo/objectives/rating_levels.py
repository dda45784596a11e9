"""The level of a rating: cross-entropy over the levels that ratings have (GC-MC, 2017, arXiv:1706.02263)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.families import Pairs, Recommender
from zoo.objectives.base import OBJECTIVES, Batch, EventObjective


@OBJECTIVES.register
class RatingLevels(EventObjective):
    """Cross-entropy of the level of each training interaction against all levels. Scores are ratings.

    Args:
        model: The recommender to train; pairs with levels.
        dataset: The prepared data; its labels are the ratings.
    """

    name = "rating_levels"
    families = (Pairs,)
    is_streamable = False

    def __init__(self, model: Recommender, dataset: Dataset) -> None:
        super().__init__(model, dataset, positives=False)
        if not (isinstance(model, Pairs) and model.has_levels):
            raise UserError(
                f"Objective {self.name!r} needs an architecture with a logit for each level of a rating; "
                f"{model.architecture!r} has none. Choose another objective, or an architecture such as gcmc."
            )
        self._pairs = model
        # The mean over the levels is in the unit of the labels already.
        model.set_rating_scale(0.0, 1.0)

    @classmethod
    def learns_labels(cls, options: Mapping[str, object], dataset: Dataset) -> bool:
        """The labels are the targets."""
        return True

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of ratings, and how many there are."""
        events = self._at(batch.examples)
        logits, values = self._pairs.encode_levels(events.query, events.items, training=True)
        # A level that does not exist has a logit far below all others.
        exists = logits > tf.reduce_max(logits, axis=1, keepdims=True) - 1e8
        distances = tf.where(exists, tf.abs(values - events.labels[:, None]), tf.float32.max)
        level = tf.argmin(distances, axis=1)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=level, logits=logits)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
