"""Items a user has not met, drawn uniformly and without a single rejection."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.examples import Examples
from zoo.schema import FIRST_KNOWN


class UniformNegatives:
    """Draws the r-th item that a user has not met, for a uniform r.

    Between the items a user met, the unmet ones lie in gaps; before the j-th met item there are as many
    unmet ones as its place in the catalogue less j. One binary search over these counts finds how many
    met items stand before the r-th unmet one, so no draw ever has to be thrown away.

    Args:
        events: The training events; all items of a user's events are avoided.
        number: Negatives drawn for each user of a batch.
    """

    def __init__(self, events: Examples, number: int) -> None:
        self._number = number
        self._known = events.num_items - FIRST_KNOWN
        users, items = events.users.numpy().astype(np.int64), events.items.numpy().astype(np.int64)
        keys = np.unique(users * self._known + items - FIRST_KNOWN)
        users, places = np.divmod(keys, self._known)
        met = np.bincount(users, minlength=events.first.shape[0] - 1)
        first = np.concatenate([[0], np.cumsum(met)[:-1]])
        unmet_before = places - (np.arange(len(keys)) - first[users])
        self._met = tf.constant(met, tf.int64)
        self._first = tf.constant(first, tf.int64)
        self._keys = tf.constant(users * (self._known + 1) + unmet_before, tf.int64)

    def __call__(self, users: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws negatives, as a graph operation.

        Args:
            users: `[batch]` user indices.
            seed: `[2]` seed of the draw.

        Returns:
            Item indices (int32) and weights (float32), both `[batch, number]`. A user who has met the
            whole catalogue has no negatives: item 0 with weight 0.
        """
        unmet = self._known - tf.gather(self._met, users)[:, None]
        draws = tf.random.stateless_uniform([tf.shape(users)[0], self._number], seed, dtype=tf.float64)
        ranks = tf.cast(draws * tf.cast(unmet, tf.float64), tf.int64)
        wanted = tf.cast(users, tf.int64)[:, None] * (self._known + 1) + ranks
        found = tf.searchsorted(self._keys, tf.reshape(wanted, [-1]), side="right", out_type=tf.int64)
        met_before = tf.reshape(found, tf.shape(wanted)) - tf.gather(self._first, users)[:, None]
        exists = unmet > 0
        items = tf.where(exists, ranks + met_before + FIRST_KNOWN, 0)
        weights = tf.broadcast_to(tf.cast(exists, tf.float32), tf.shape(items))
        return tf.cast(items, tf.int32), weights
