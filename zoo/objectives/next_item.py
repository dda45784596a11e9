"""Next item: after every event of a sequence, predict the one that follows."""

from __future__ import annotations

import tensorflow as tf

from zoo.objectives.base import OBJECTIVES, Batch
from zoo.objectives.windows import NextItemObjective, softmax_losses


@OBJECTIVES.register
class NextItem(NextItemObjective):
    """Softmax over the whole catalogue at every position, so an epoch is one pass over the sequences.

    A sequence longer than the history is cut into windows, each of which starts where the one before ends.

    Args:
        model: The recommender to train: towers with `positions`.
        dataset: The prepared data, with timestamps.
    """

    name = "next_item"
    sampled = "next_item_sampled"

    def check_batch(self, size: int) -> None:
        """Raises a `UserError` if memory is too small for the logits of a step."""
        self._check_softmax(
            size, 1.0, "Set train.objective=next_item_sampled, which scores a sample, or choose a smaller batch_size."
        )

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of windows, and how many positions it sums up."""
        positions = self._positions(batch)
        losses = softmax_losses(positions.vectors, positions.targets, self._items())
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
