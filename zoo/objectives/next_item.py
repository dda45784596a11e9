"""Next item: after every event of a sequence, predict the one that follows."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.data.examples import Examples
from zoo.errors import UserError
from zoo.families import Recommender, Towers
from zoo.objectives.base import OBJECTIVES, Batch, Objective
from zoo.schema import FIRST_KNOWN, PADDING


@OBJECTIVES.register
class NextItem(Objective):
    """Softmax over the whole catalogue at every position, so an epoch is one pass over the sequences.

    A sequence longer than the history is cut into windows, each of which starts where the one before ends.

    Args:
        model: The recommender to train: towers with `positions`.
        dataset: The prepared data, with timestamps.
    """

    name = "next_item"
    families = (Towers,)

    def __init__(self, model: Recommender, dataset: Dataset) -> None:
        super().__init__(model, dataset)
        if not model.has_positions:
            raise UserError(
                f"Objective {self.name!r} needs an architecture with positions; {model.architecture!r} has none."
            )
        self._events = Examples(dataset, model.query_names)
        self._length = dataset.schema["history"].length
        users, ends = self._windows()
        if not len(ends):
            raise UserError(f"Objective {self.name!r} needs users with at least two training interactions. Found none.")
        self._users, self._ends = tf.constant(users, tf.int32), tf.constant(ends, tf.int32)
        self.num_examples = len(ends)

    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """For every window its user and the position of its last target."""
        first = self._events.first.numpy()
        counts = np.diff(first)
        # A first event has nothing before it to be predicted from.
        windows = -(-np.maximum(counts - 1, 0) // self._length)
        users = np.repeat(np.arange(len(counts)), windows)
        number = np.arange(len(users)) - np.repeat(np.cumsum(windows) - windows, windows)
        return users, first[users + 1] - 1 - number * self._length

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of windows, and how many positions it sums up."""
        users, ends = tf.gather(self._users, batch.examples), tf.gather(self._ends, batch.examples)
        query = self._events.query(ends, users)
        targets, _ = self._events.before(ends + 1, users)
        positions = self.model.encode_positions(query, training=True)
        # The first event of a user has nothing before it, so no position to be predicted from.
        trained = (query["history"] != PADDING) & (targets != PADDING)
        vectors, targets = tf.boolean_mask(positions, trained), tf.boolean_mask(targets, trained)
        items = self.model.encode_items(tf.range(FIRST_KNOWN, self._events.num_items), training=True)
        logits = tf.cast(tf.matmul(vectors, items, transpose_b=True), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets - FIRST_KNOWN, logits=logits)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
