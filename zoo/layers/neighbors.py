"""User neighbours, found in the graph, so that users who arrive after training have some too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops
from scipy.sparse import csr_array, csr_matrix

from zoo.layers.sparse_rows import SparseRows

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


@keras.saving.register_keras_serializable("recozoo")
class UserNeighbors(keras.layers.Layer):
    """Scores items by the share of a user's neighbours who liked them, each weighted by the cosine of what was liked.

    A user who liked nothing beyond what the asking user liked has nothing to recommend and is no neighbour. So
    users of the training data take no place among their own neighbours. Where several tie for the last place, the
    first of the user table count.

    Likings are kept twice, as the items of every user and as the users of every item, and nothing else.

    Args:
        num_users: Rows of the user table, padding and unknown included.
        num_items: Rows of the item table, padding and unknown included.
        neighbors: The most similar users who count.
        pairs: How many likings there is room for. `set_liked` makes more room if it needs it.

    Raises:
        UserError: When built or set, if the likings do not fit into memory.
    """

    def __init__(self, num_users: int, num_items: int, neighbors: int, pairs: int = 1, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_users, self.num_items, self.neighbors = num_users, num_items, min(neighbors, num_users)
        self.users_of_item = SparseRows(num_items, num_users, pairs, is_weighted=False)
        self.items_of_user = SparseRows(num_users, num_items, pairs, is_weighted=False)

    def build(self, *_: Shape) -> None:
        """Makes room for the likings."""
        for rows in (self.users_of_item, self.items_of_user):
            if not rows.built:
                rows.build()
        self.counts = self.add_weight(name="counts", shape=(self.num_users,), initializer="ones", trainable=False)
        self.shares = self.add_weight(name="shares", shape=(self.num_users,), initializer="ones", trainable=False)

    @property
    def pairs(self) -> int:
        """How many likings there is room for."""
        return self.items_of_user.pairs

    def set_liked(self, liked: csr_matrix | csr_array) -> None:
        """Sets who liked what, `[num_users, num_items]` zeros and ones."""
        if not self.built:
            self.build()
        counts = np.maximum(np.diff(liked.indptr), 1)
        self.items_of_user.set(liked)
        self.users_of_item.set(liked.T.tocsr())
        self.counts.assign(counts)
        self.shares.assign(1 / counts)

    def sizes(self, items: np.ndarray) -> np.ndarray:
        """How many likings a call lists for `[batch, length]` items, int64 `[batch]`."""
        return self.users_of_item.sizes(items)

    def call(self, items: Tensor, liked: Tensor) -> Tensor:
        """`[batch, length]` items and shares of likings to `[batch, num_items]` scores between 0 and 1."""
        common = ops.round(self.users_of_item(items, liked))
        # The square of the cosine, except that the user's own count is left out. Whole numbers are multiplied by what
        # is stored, because runtimes divide in different ways. They would find other neighbours where cosines are
        # close.
        closeness = ops.where(common < self.counts, common * common * self.shares, 0.0)
        nearest, users = ops.top_k(closeness, self.neighbors)
        cosines = ops.sqrt(nearest)
        weights = cosines / ops.maximum(ops.sum(cosines, axis=1, keepdims=True), 1e-9)
        return self.items_of_user(users, weights)
