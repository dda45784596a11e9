"""Which items a user has seen, and the binary search that this and the samplers use."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.examples import TrainingEvents

# A table of all users and items has at most so many bytes.
MOST_BYTES = 2**28

# The place of a user's bit within a byte.
BITS = np.left_shift(1, np.arange(8)).astype(np.uint8)


class SeenItems:
    """Answers whether users have seen items in training.

    A table has one bit for every item and user if it fits into 256 MB. Otherwise every pair takes a binary search
    among the items of its user.

    Args:
        events: The training events, whatever their labels.
    """

    def __init__(self, events: TrainingEvents) -> None:
        self._num_items = events.num_items
        users, items = unique_pairs(events)
        # Items are the rows, because what is asked most is which of all users have seen a few shared items.
        self._row = -(-(events.first.shape[0] - 1) // 8)
        self._table: tf.Tensor | None = None
        # Streamed data do not tell what is seen, and an empty table would be a waste.
        if len(users) and self._num_items * self._row <= MOST_BYTES:
            table = np.zeros((self._num_items, self._row), np.uint8)
            np.bitwise_or.at(table, (items, users // 8), BITS[users % 8])
            self._table = tf.constant(table)
        else:
            self._keys = Sorted(users * self._num_items + items)

    def pairs(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Whether each user has seen each of its own items.

        Args:
            users: `[n]` user indices.
            items: `[n, m]` item indices.

        Returns:
            `[n, m]` bool.
        """
        if self._table is None:
            return self._keys.contains(tf.cast(users, tf.int64)[:, None] * self._num_items + tf.cast(items, tf.int64))
        found = tf.gather(tf.reshape(self._table, [-1]), items * self._row + users[:, None] // 8)
        return self._bit_is_set(found, users)

    def shared(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Whether each user has seen each of the items that all of them share.

        Args:
            users: `[n]` user indices.
            items: `[m]` item indices.

        Returns:
            `[n, m]` bool.
        """
        if self._table is None:
            return self.pairs(users, tf.broadcast_to(items, [tf.size(users), tf.size(items)]))
        # Whole rows are copied, twice; that is far faster than reading the bits one by one.
        found = tf.gather(tf.transpose(tf.gather(self._table, items)), users // 8)
        return self._bit_is_set(found, users)

    @staticmethod
    def _bit_is_set(found: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
        return tf.bitwise.bitwise_and(found, tf.gather(BITS, users % 8)[:, None]) > 0


class Sorted:
    """Binary search in a sorted array, as a graph operation that XLA compiles well too.

    Args:
        values: `[n]` sorted int64.
        longest: The most places that a search has to cover from where it starts; by default all.
    """

    def __init__(self, values: np.ndarray, longest: int | None = None) -> None:
        self._steps = int(len(values) if longest is None else longest).bit_length()
        # The padding keeps every step of a search within the array.
        padding = np.full(2**self._steps, np.iinfo(np.int64).max)
        self._values = tf.constant(np.concatenate([values, padding]), tf.int64)

    def count(self, wanted: tf.Tensor, start: tf.Tensor | int = 0) -> tf.Tensor:
        """How many of all values are at most the wanted ones.

        Args:
            wanted: int64 of any shape.
            start: The place to search from: so many values are known to be at most the wanted one.

        Returns:
            int32 of the shape of `wanted`.
        """
        found = tf.broadcast_to(start, tf.shape(wanted))
        for power in reversed(range(self._steps)):
            is_above = tf.gather(self._values, found + (2**power - 1)) > wanted
            found = tf.where(is_above, found, found + 2**power)
        return found

    def contains(self, wanted: tf.Tensor) -> tf.Tensor:
        """Which of the wanted values are there, bool of their shape."""
        last = tf.maximum(self.count(wanted) - 1, 0)
        return tf.equal(tf.gather(self._values, last), wanted)


def unique_pairs(events: TrainingEvents) -> tuple[np.ndarray, np.ndarray]:
    """Users and items of all training events, int64, sorted by both and each pair once."""
    users, items = events.users.numpy().astype(np.int64), events.items.numpy().astype(np.int64)
    return np.divmod(np.unique(users * events.num_items + items), events.num_items)
