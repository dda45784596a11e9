"""Next item by a sampled softmax: the item that follows against a sample of the catalogue."""

from __future__ import annotations

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Batch
from zoo.objectives.samplers import ALPHA, make_shared
from zoo.objectives.scoring import sampled_softmax_losses
from zoo.objectives.windows import NextItemObjective


@OBJECTIVES.register
class NextItemSampled(NextItemObjective):
    """Softmax at every position over the item that follows and a sample that all positions of a batch share.

    Args:
        model: The recommender to train: towers with `positions`.
        dataset: The prepared data, with timestamps.
        negatives: Items drawn a batch. With all of the catalogue, drawn uniformly, this is `next_item`.
        sampler: `"uniform"`, or `"popularity"`: by the power `alpha` of how often an item is an event.
        alpha: The power of popularity.
        correct: Whether an item of the sample stands for as many as were left out for it, see `sampled_softmax`.
            Otherwise it stands for itself, so the item that follows has less to stand against.
    """

    name = "next_item_sampled"

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        negatives: int = 512,
        sampler: str = "uniform",
        alpha: float = ALPHA,
        correct: bool = True,
    ) -> None:
        super().__init__(model, dataset)
        self._sampler, self._correct = make_shared(sampler, self._events, negatives, alpha), correct

    @classmethod
    def most_items(cls, known: int) -> dict[str, int]:
        """What is drawn once a batch, or must leave items out, is at most the catalogue."""
        return {"negatives": known}

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of windows, and how many positions it sums up."""
        positions = self._positions(batch)
        items, _ = self._sampler(self._window_events(batch), batch)
        followers = self.model.encode_items(positions.targets, training=True)
        positive = tf.cast(tf.reduce_sum(positions.vectors * followers, axis=-1), tf.float32)
        sampled = self.model.encode_items(items, training=True)
        negative = tf.cast(tf.matmul(positions.vectors, sampled, transpose_b=True), tf.float32)
        if self._correct:
            negative -= self._sampler.log_expected(items)
        losses = sampled_softmax_losses(positive, negative, items == positions.targets[:, None])
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
