"""Numeric and categorical nodes that learn from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import layers, ops

from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


@keras.saving.register_keras_serializable("recozoo")
class CoPropagation(keras.layers.Layer):
    """Numeric and categorical nodes of one example exchange messages for some rounds.

    In a round every node attends to itself and to the nodes of the other kind (weights from a softmax, so
    they sum to one), and takes the message in through a learned gate, on top of what it already was.
    Attending to itself too keeps the weights meaningful where the other kind has a single node.

    Args:
        rounds: How often messages are exchanged; 0 leaves the nodes as they are.

    Raises:
        UserError: If `rounds` is below 0.
    """

    def __init__(self, rounds: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if rounds < 0:
            raise UserError(f"rounds must be at least 0. Received: {rounds}.")
        self.rounds = rounds
        self.steps = [(_Message(name=f"to_numeric_{i}"), _Message(name=f"to_categorical_{i}")) for i in range(rounds)]

    def build(self, numeric_shape: Shape, categorical_shape: Shape) -> None:
        """Builds the messages of every round."""
        for to_numeric, to_categorical in self.steps:
            to_numeric.build(numeric_shape)
            to_categorical.build(categorical_shape)

    def call(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, Tensor]:
        """`[batch, n, dim]` and `[batch, m, dim]` nodes to nodes of the same shapes."""
        for to_numeric, to_categorical in self.steps:
            numeric, categorical = to_numeric(numeric, categorical), to_categorical(categorical, numeric)
        return numeric, categorical


@keras.saving.register_keras_serializable("recozoo")
class _Message(keras.layers.Layer):
    """What nodes take in from the nodes of the other kind."""

    def build(self, shape: Shape) -> None:
        dim = shape[-1]
        assert dim is not None
        self.query, self.key, self.value = (layers.Dense(dim, use_bias=False) for _ in range(3))
        self.gate = layers.Dense(dim, activation="sigmoid")
        self.norm = layers.LayerNormalization()
        for layer in (self.query, self.key, self.value, self.norm):
            layer.build((None, None, dim))
        self.gate.build((None, None, 2 * dim))

    def call(self, nodes: Tensor, others: Tensor) -> Tensor:
        queries = self.query(nodes) / nodes.shape[-1] ** 0.5
        with_others = ops.matmul(queries, ops.transpose(self.key(others), (0, 2, 1)))
        with_itself = ops.sum(queries * self.key(nodes), axis=-1, keepdims=True)
        weights = ops.softmax(ops.concatenate([with_itself, with_others], axis=-1), axis=-1)
        message = weights[..., :1] * self.value(nodes) + ops.matmul(weights[..., 1:], self.value(others))
        gate = self.gate(ops.concatenate([nodes, message], axis=-1))
        return self.norm(nodes + gate * message)
