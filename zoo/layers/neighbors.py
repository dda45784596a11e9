"""User neighbours, found in the graph, so that users who arrive after training have some too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops
from scipy.sparse import csr_matrix

from zoo.memory import check_memory

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


@keras.saving.register_keras_serializable("recozoo")
class UserNeighbors(keras.layers.Layer):
    """Scores items by the share of a user's neighbours who liked them, each weighted by the cosine of what was liked.

    A user who liked nothing beyond what the asking user liked has nothing to recommend and is no neighbour. So
    users of the training data take no place among their own neighbours. More than `neighbors` count only where
    several tie for the last place.

    Args:
        num_users: Rows of the user table, padding and unknown included.
        num_items: Rows of the item table, padding and unknown included.
        neighbors: The most similar users who count.

    Raises:
        UserError: When built or set, if the matrix of users and items does not fit into memory.
    """

    def __init__(self, num_users: int, num_items: int, neighbors: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_users, self.num_items, self.neighbors = num_users, num_items, min(neighbors, num_users)

    def build(self, *_: Shape) -> None:
        """Makes the matrix of who liked what."""
        self._check_memory(copies=1)
        self.liked = self.add_weight(
            name="liked", shape=(self.num_users, self.num_items), initializer="zeros", trainable=False
        )
        self.counts = self.add_weight(name="counts", shape=(self.num_users,), initializer="ones", trainable=False)
        self.shares = self.add_weight(name="shares", shape=(self.num_users,), initializer="ones", trainable=False)

    def set_liked(self, liked: csr_matrix) -> None:
        """Sets who liked what, `[num_users, num_items]` zeros and ones."""
        self._check_memory(copies=2)
        counts = np.maximum(np.diff(liked.indptr), 1)
        self.liked.assign(liked.toarray())
        self.counts.assign(counts)
        self.shares.assign(1 / counts)

    def call(self, liked: Tensor) -> Tensor:
        """`[batch, num_items]` zeros and ones to `[batch, num_items]` scores between 0 and 1."""
        common = ops.matmul(liked, ops.transpose(self.liked))
        # The square of the cosine, except that the user's own count is left out. Whole numbers are multiplied by what
        # is stored, because runtimes divide in different ways. They would find other neighbours where cosines are
        # close.
        closeness = ops.where(common < self.counts, common * common * self.shares, 0.0)
        last, _ = ops.top_k(closeness, self.neighbors)
        cosines = ops.sqrt(ops.where(closeness >= last[:, -1:], closeness, 0.0))
        weights = cosines / ops.maximum(ops.sum(cosines, axis=1, keepdims=True), 1e-9)
        return ops.matmul(weights, self.liked)

    def _check_memory(self, copies: int) -> None:
        check_memory(
            f"A matrix of {self.num_users:,} users and {self.num_items:,} items",
            copies * 4 * self.num_users * self.num_items,
            "Leave out rare users or items, or choose itemknn, which keeps no users.",
        )
