"""The vectors of users on which endless rounds of message passing settle (UltraGCN, 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from zoo.layers.basic import Embedding
from zoo.layers.graph import LikedGraph

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


# Not registered with Keras, because its config would hold layers. `keras.Model.save` needs no config of it: a saved
# model is its recipe, which builds the architecture with all of its layers again.
class SettledUsers(keras.layers.Layer):
    """The vector of a user of the graph is its own. That of any other user follows from the liked items of the history.

    With `d_u` liked items, item `i` of `d_i` users weighs `sqrt((d_u + 1) / (d_i + 1)) / d_u`, as in the equation that
    the vectors of users of the graph would fulfil after endless rounds.

    Args:
        users: The vectors of users.
        items: The vectors of items.
        **kwargs: Those of a Keras layer.
    """

    def __init__(self, users: Embedding, items: Embedding, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.users, self.items = users, items
        self.graph = LikedGraph(users.rows, items.rows)

    def build(self, *_: Shape) -> None:
        """Builds both tables, if nothing did before."""
        for table in (self.users, self.items):
            if not table.built:
                table.build(None)

    def call(self, users: Tensor, history: Tensor, liked: Tensor, training: bool = False) -> Tensor:
        """`[batch]` users, `[batch, length]` items and what each counts to `[batch, dim]` vectors."""
        own = ops.cast(self.users(users), "float32")
        if training:
            return own
        degree = ops.sum(liked, axis=1, keepdims=True)
        shares = liked / ops.sqrt(ops.take(self.graph.item_counts, history, axis=0) + 1.0)
        settled = ops.matmul(shares[:, None], ops.take(self.items.embeddings, history, axis=0))[:, 0]
        settled *= ops.sqrt(degree + 1.0) / ops.maximum(degree, 1.0)
        is_known = ops.cast(ops.take(self.graph.user_counts, users, axis=0) > 0, own.dtype)[:, None]
        return is_known * own + (1.0 - is_known) * settled
