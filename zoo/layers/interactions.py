"""The training interactions inside the model. Some architectures read an item by who rated it and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np
import scipy.sparse
from keras import ops

from zoo.layers.data import DataLayer, Source
from zoo.memory import check_memory

if TYPE_CHECKING:
    from zoo.types import Tensor


@keras.saving.register_keras_serializable("recozoo")
class InteractionRows(DataLayer[scipy.sparse.csr_matrix]):
    """Every item's vector of training ratings over the users, not trained; called on item ids.

    A user who has not seen an item has a 0 there. Ratings are not centred, so that an average one and none stay apart.

    Args:
        num_items: Rows of the item table, padding and unknown included.
        num_users: Rows of the user table, likewise.
        **kwargs: Those of a Keras layer.

    Raises:
        UserError: If the table does not fit into memory.

    Example:

    >>> rows = InteractionRows(num_items=3, num_users=4)
    >>> rows.adapt(scipy.sparse.csr_matrix(([5.0, 3.0], ([2, 3], [2, 2])), shape=(4, 3)))
    >>> np.asarray(rows(np.array([2])))
    array([[0., 0., 5., 3.]], dtype=float32)
    """

    source: ClassVar[Source] = "interactions"

    def __init__(self, num_items: int, num_users: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        check_memory(
            f"A table of the ratings of {num_items:,} items by {num_users:,} users",
            num_items * num_users * np.dtype("float32").itemsize,
            "Leave out users and items of few interactions, or choose an architecture without such a table.",
        )
        self.rows = self.add_weight(
            name="rows", shape=(num_items, num_users), initializer="zeros", trainable=False, autocast=False
        )

    def adapt(self, data: scipy.sparse.csr_matrix) -> None:
        """Puts the training interactions into the table.

        Args:
            data: `[num_users, num_items]` training labels.
        """
        self.rows.assign(data.T.toarray())

    def call(self, items: Tensor) -> Tensor:
        """`[batch]` items to `[batch, num_users]`."""
        return ops.take(self.rows, items, axis=0)
