"""Full softmax: a positive against the whole catalogue."""

from __future__ import annotations

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.families import ItemLogits, Recommender, Towers
from zoo.objectives.base import OBJECTIVES, Batch, EventObjective
from zoo.schema import FIRST_KNOWN


@OBJECTIVES.register
class FullSoftmax(EventObjective):
    """Cross-entropy of a positive among all items, so every step scores and trains the whole catalogue.

    Args:
        model: The recommender to train.
        dataset: The prepared data; interactions with a label above 0 are positives.
    """

    name = "full_softmax"
    families = (Towers, ItemLogits)

    def __init__(self, model: Recommender, dataset: Dataset) -> None:
        super().__init__(model, dataset)

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of positives, and how many there are."""
        events = self._at(batch.examples)
        if isinstance(self.model, ItemLogits):
            logits = self.model.encode_query(events.query, training=True)[:, FIRST_KNOWN:]
        else:
            known = tf.range(FIRST_KNOWN, self._events.num_items)
            logits = self.model.score_shared(events.query, known, training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=events.items - FIRST_KNOWN, logits=tf.cast(logits, tf.float32)
        )
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
