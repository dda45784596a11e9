"""In-batch softmax: a positive against the positives of the other examples of its batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.families import Pairs, Recommender, Towers
from zoo.objectives.base import OBJECTIVES, Batch, EventObjective
from zoo.objectives.scoring import NEVER
from zoo.objectives.seen import SeenItems


@OBJECTIVES.register
class InBatchSoftmax(EventObjective):
    """Cross-entropy of a positive among the positives of the batch, corrected for their popularity.

    A popular item is in many batches. Therefore the logarithm of the item's share of all positives is subtracted from
    every score (Yi et al., 2019, 10.1145/3298689.3346996). Positives of the same user or of the same
    item are not compared with each other.

    Args:
        model: The recommender to train.
        dataset: The prepared data; interactions with a label above 0 are positives.
        temperature: What scores are divided by; below 1 it sharpens the distribution.
        avoid_seen: Whether to leave out all other items that the user has seen too.
    """

    name = "in_batch_softmax"
    families = (Towers, Pairs)

    def __init__(
        self, model: Recommender, dataset: Dataset, temperature: float = 1.0, avoid_seen: bool = False
    ) -> None:
        super().__init__(model, dataset)
        if not temperature > 0:
            raise UserError(f"temperature must be above 0. Received: {temperature}.")
        self._temperature = temperature
        # Items that are never positives are never in a batch.
        shares = np.maximum(self._events.item_counts, 1) / self.num_examples
        self._log_shares = tf.constant(np.log(shares), tf.float32)
        if avoid_seen and not self._events.items.shape[0]:
            raise UserError("avoid_seen needs what users have seen in memory; leave it out for streamed data.")
        self._seen = SeenItems(self._events) if avoid_seen else None

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of positives, and how many there are."""
        events = self._at(batch.examples)
        examples, own = batch.companions()
        others = self._at(examples)
        scores = tf.cast(self.model.score_shared(events.query, others.items, training=True), tf.float32)
        logits = scores / self._temperature - tf.gather(self._log_shares, others.items)
        no_negative = (others.users == events.users[:, None]) | (others.items == events.items[:, None])
        if self._seen:
            no_negative |= self._seen.shared(events.users, others.items)
        is_own = tf.range(tf.size(others.items)) == own[:, None]
        logits = tf.where(no_negative & ~is_own, NEVER, logits)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=own, logits=logits)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
