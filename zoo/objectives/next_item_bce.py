"""Next item by binary cross-entropy: the item that follows beside sampled ones."""

from __future__ import annotations

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Batch
from zoo.objectives.samplers import ALPHA, make_sampler
from zoo.objectives.windows import NextItemObjective, Positions


@OBJECTIVES.register
class NextItemBCE(NextItemObjective):
    """Cross-entropy at every position of the item that follows, and of negatives (Kang and McAuley, 2018).

    Args:
        model: The recommender to train: towers with `positions`.
        dataset: The prepared data, with timestamps.
        negatives: Negatives a position, which the user has not seen. SASRec has one.
        sampler: `"uniform"`, or `"popularity"`: by the power `alpha` of how often an item is an event.
        alpha: The power of popularity.
        shared: 0 draws negatives for every position. A number draws so many once a batch, which all its positions
            share, each weighing `negatives / shared`: one matrix product scores them.
    """

    name = "next_item_bce"

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        negatives: int = 1,
        sampler: str = "uniform",
        alpha: float = ALPHA,
        shared: int = 0,
    ) -> None:
        super().__init__(model, dataset)
        # A window draws those of all its places at once.
        number = negatives if shared else negatives * self._length
        self._sampler = make_sampler(sampler, self._events, model, number, alpha, shared=shared)
        self._negatives, self._positive_factor = negatives, 1.0

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of windows, and what the items at its positions weigh together."""
        positions = self._positions(batch)
        items, weights = self._sampler(self._window_events(batch), batch)
        followers = self.model.encode_items(positions.targets, training=True)
        positive = tf.reduce_sum(positions.vectors * followers, axis=-1)
        if items.shape.rank == 1:
            sampled = self.model.encode_items(items, training=True)
            negative = tf.matmul(positions.vectors, sampled, transpose_b=True)
            weights = tf.gather(weights, positions.windows)
        else:
            items, weights = (self._of_positions(drawn, positions) for drawn in (items, weights))
            negative = tf.linalg.matvec(self.model.encode_candidates(items, training=True), positions.vectors)
        # -log sigmoid(s) is softplus(-s), and -log(1 - sigmoid(s)) is softplus(s).
        total = self._positive_factor * tf.reduce_sum(tf.nn.softplus(-tf.cast(positive, tf.float32)))
        total += tf.reduce_sum(weights * tf.nn.softplus(tf.cast(negative, tf.float32)))
        return total, tf.cast(tf.size(positive), tf.float32) + tf.reduce_sum(weights)

    def _of_positions(self, drawn: tf.Tensor, positions: Positions) -> tf.Tensor:
        """Of what windows drew, `[windows, length * negatives]`, that of positions, `[n, negatives]`."""
        drawn = tf.reshape(drawn, [-1, self._length, self._negatives])
        return tf.gather_nd(drawn, tf.stack([positions.windows, positions.places], axis=1))
