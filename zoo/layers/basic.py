"""Small layers that most architectures use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from zoo.memory import check_memory
from zoo.schema import FIRST_KNOWN

# Numbers of a table that are drawn at once.
NUMBERS_AT_ONCE = 2**20


class Embedding(keras.layers.Layer):
    """An embedding table, of which a step reads and trains only the rows it looks up.

    Padding and unknown start as zeros. Neither is met in training, so they stay zeros: an unknown user
    has no taste of its own and gets what the biases say.

    Args:
        rows: Rows of the table, padding and unknown included.
        dim: Width of the vectors.
        stddev: Spread of the initial vectors.

    Raises:
        UserError: When built, if the table does not fit into memory.

    Example:

    >>> Embedding(rows=10, dim=4)(np.array([2, 5])).shape
    TensorShape([2, 4])
    """

    def __init__(self, rows: int, dim: int, *, stddev: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows, self.dim, self.stddev = rows, dim, stddev

    def build(self, input_shape: Any = None) -> None:
        """Makes the table."""
        check_memory(
            f"An embedding table of {self.rows:,} rows of {self.dim}",
            self.rows * self.dim * 4,
            "Choose narrower vectors (embedding_dim), or merge rare ids.",
        )
        # Read whole and cast, it would cost a step what the whole table costs; so rows are read first and cast then.
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.rows, self.dim), initializer=KnownRowsNormal(self.stddev), autocast=False
        )

    def call(self, indices: Any) -> Any:
        """`[batch, ...]` indices to `[batch, ..., dim]`."""
        return tf.cast(tf.nn.embedding_lookup(self.embeddings.value, indices), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """One vector an index."""
        return (*input_shape, self.dim)


class KnownRowsNormal(keras.initializers.RandomNormal):
    """A normal initializer that leaves the rows of padding and unknown at zero."""

    def __init__(self, stddev: float = 0.05) -> None:
        super().__init__(mean=0.0, stddev=stddev)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """Draws `shape`, some rows at a time, since a draw takes three times the memory of what it gives."""
        values = np.empty(shape, np.float32)
        at_once = max(NUMBERS_AT_ONCE // int(np.prod(shape[1:])), 1)
        for number, start in enumerate(range(0, shape[0], at_once)):
            part = values[start : start + at_once]
            part[:] = keras.random.normal(part.shape, stddev=self.stddev, seed=self.seed + number)
        values[:FIRST_KNOWN] = 0
        return ops.convert_to_tensor(values, dtype)


class MultiHot(keras.layers.Layer):
    """A list of items and their values as one vector over the catalogue.

    Args:
        size: Rows of the item table; columns of padding and unknown are always 0.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, items: Any, values: Any) -> Any:
        """`[batch, length]` items and values to `[batch, size]`; the values of an item listed twice add up."""
        batch, length = ops.shape(items)[0], items.shape[1]
        rows = ops.broadcast_to(ops.arange(batch, dtype="int32")[:, None], (batch, length))
        places = ops.reshape(ops.stack([rows, items], axis=-1), (-1, 2))
        hot = ops.scatter(places, ops.reshape(values, (-1,)), (batch, self.size))
        return hot * ops.cast(ops.arange(self.size) >= FIRST_KNOWN, hot.dtype)


def mlp(inputs: Any, hidden: Sequence[int], dropout: float = 0.0, activation: str = "relu") -> Any:
    """Dense layers one after the other.

    Args:
        inputs: `[batch, dim]` symbolic tensor.
        hidden: Units of each layer.
        dropout: Share of units dropped after each layer in training.
        activation: Activation of each layer.

    Returns:
        `[batch, hidden[-1]]` symbolic tensor.
    """
    for units in hidden:
        inputs = layers.Dense(units, activation=activation)(inputs)
        if dropout:
            inputs = layers.Dropout(dropout)(inputs)
    return inputs
