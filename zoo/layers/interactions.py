"""The training interactions inside the model, for architectures that read an item by who rated it and how."""

from __future__ import annotations

from typing import Any

import keras
import scipy.sparse
from keras import ops

from zoo.memory import check_memory


class InteractionRows(keras.layers.Layer):
    """Every item's vector of training ratings over the users, not trained; called on item ids.

    Where a user has not met an item there is a 0. Ratings are not centred, so that an average one and none stay apart.

    Args:
        num_items: Rows of the item table, padding and unknown included.
        num_users: Rows of the user table, likewise.

    Raises:
        UserError: If the table does not fit into memory.

    Example:

    >>> rows = InteractionRows(num_items=3, num_users=4)
    >>> rows.set(scipy.sparse.csr_matrix(([5.0, 3.0], ([2, 3], [2, 2])), shape=(4, 3)))
    >>> np.asarray(rows(np.array([2])))
    array([[0., 0., 5., 3.]], dtype=float32)
    """

    def __init__(self, num_items: int, num_users: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_memory(
            f"A table of the ratings of {num_items:,} items by {num_users:,} users",
            num_items * num_users * 4,
            "Leave out users and items of few interactions, or choose an architecture without such a table.",
        )
        self.rows = self.add_weight(
            name="rows", shape=(num_items, num_users), initializer="zeros", trainable=False, autocast=False
        )

    def set(self, interactions: scipy.sparse.csr_matrix) -> None:
        """Sets the table.

        Args:
            interactions: `[num_users, num_items]` training labels.
        """
        self.rows.assign(interactions.T.toarray())

    def call(self, items: Any) -> Any:
        """`[batch]` items to `[batch, num_users]`."""
        return ops.take(self.rows, items, axis=0)
