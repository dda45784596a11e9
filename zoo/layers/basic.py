"""Small layers that most architectures use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from zoo.errors import UserError
from zoo.memory import check_memory
from zoo.schema import FIRST_KNOWN, PADDING

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# Numbers of a table that are drawn at once.
NUMBERS_AT_ONCE = 2**20


@keras.saving.register_keras_serializable("recozoo")
class Embedding(keras.layers.Layer):
    """An embedding table; a step reads and trains only the rows that it looks up.

    Padding and unknown start as zeros. Training sees neither, so they stay zeros: an unknown user
    has no taste of its own and gets what the biases say.

    Args:
        rows: Rows of the table, padding and unknown included.
        dim: Width of the vectors.
        stddev: Spread of the initial vectors. `None` takes Glorot's, `sqrt(2 / (rows + dim))`: the more rows there are,
            the less is said by those that training hardly reaches.

    Raises:
        UserError: If the width is below 1. When built, if the table does not fit into memory.

    Example:

    >>> Embedding(rows=10, dim=4)(np.array([2, 5])).shape
    TensorShape([2, 4])
    """

    def __init__(self, rows: int, dim: int, *, stddev: float | None = 0.05, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if dim < 1:
            raise UserError(f"The width of vectors (embedding_dim) must be at least 1. Received: {dim}.")
        self.rows, self.dim = rows, dim
        self.stddev = (2 / (rows + dim)) ** 0.5 if stddev is None else stddev

    def build(self, input_shape: Shape | None = None) -> None:
        """Makes the table."""
        check_memory(
            f"An embedding table of {self.rows:,} rows of {self.dim}",
            self.rows * self.dim * 4,
            "Choose narrower vectors (embedding_dim), or merge rare ids.",
        )
        # Rows are read first and then cast, because a cast of the whole table would cost a step as much as the table.
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.rows, self.dim), initializer=KnownRowsNormal(self.stddev), autocast=False
        )

    def call(self, indices: Tensor) -> Tensor:
        """`[batch, ...]` indices to `[batch, ..., dim]`."""
        return tf.cast(tf.nn.embedding_lookup(self.embeddings.value, indices), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One vector an index."""
        return (*input_shape, self.dim)


class KnownRowsNormal(keras.initializers.RandomNormal):
    """A normal initializer that leaves the rows of padding and unknown at zero."""

    def __init__(self, stddev: float = 0.05) -> None:
        super().__init__(mean=0.0, stddev=stddev)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """Draws `shape`, some rows at a time, because a draw takes three times the memory of what it gives."""
        values = np.empty(shape, np.float32)
        at_once = max(NUMBERS_AT_ONCE // int(np.prod(shape[1:])), 1)
        for number, start in enumerate(range(0, shape[0], at_once)):
            part = values[start : start + at_once]
            part[:] = keras.random.normal(part.shape, stddev=self.stddev, seed=self.seed + number)
        values[:FIRST_KNOWN] = 0
        return ops.convert_to_tensor(values, dtype)


@keras.saving.register_keras_serializable("recozoo")
class Weighted(keras.layers.Layer):
    """Weighs every dimension of a vector by a number of its own, at first by 1.

    Example:

    >>> Weighted()(np.ones((2, 3), "float32")).shape
    TensorShape([2, 3])
    """

    def build(self, input_shape: Shape) -> None:
        """Makes the weights."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1],), initializer="ones")

    def call(self, vectors: Tensor) -> Tensor:
        """`[batch, dim]` to `[batch, dim]`."""
        return vectors * self.kernel


@keras.saving.register_keras_serializable("recozoo")
class MultiHot(keras.layers.Layer):
    """A list of items and their values as one vector over the catalogue.

    Args:
        size: Rows of the item table; columns of padding and unknown are always 0.
    """

    def __init__(self, size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, items: Tensor, values: Tensor) -> Tensor:
        """`[batch, length]` items and values to `[batch, size]`; the values of an item listed twice add up."""
        batch, length = ops.shape(items)
        rows = ops.broadcast_to(ops.arange(batch, dtype="int32")[:, None], (batch, length))
        places = ops.reshape(ops.stack([rows, items], axis=-1), (-1, 2))
        hot = ops.scatter(places, ops.reshape(values, (-1,)), (batch, self.size))
        return hot * ops.cast(ops.arange(self.size) >= FIRST_KNOWN, hot.dtype)


def without_padding(items: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Lists without the columns in front that are padding in every row, so that short ones cost little.

    Args:
        items: `[batch, length]` items, padded in front.
        values: `[batch, length]` values of the items.

    Returns:
        Both, `[batch, longest]`. One column stays if every list is empty.

    Example:

    >>> without_padding(np.array([[0, 0, 7], [0, 5, 6]]), np.ones((2, 3)))[0].numpy()
    array([[0, 7],
           [5, 6]])
    """
    items, values = tf.convert_to_tensor(items), tf.convert_to_tensor(values)
    length = tf.shape(items)[1]
    from_last = tf.range(length, 0, -1)
    longest = tf.reduce_max(tf.where(tf.not_equal(items, PADDING), from_last, 1))
    return items[:, length - longest :], values[:, length - longest :]


@keras.saving.register_keras_serializable("recozoo")
class Dropout(keras.layers.Layer):
    """Zeros a share of the numbers in training and scales up the others (Srivastava et al., 2014).

    It draws 16 bits a number, and Keras' own draws 32. Drawing takes most of the time of a small network.

    Args:
        rate: Share of the numbers that become zero, to the nearest 1 / 65,536.

    Example:

    >>> Dropout(0.5)(np.ones((1, 3), "float32"), training=False).numpy()
    array([[1., 1., 1.]], dtype=float32)
    """

    def __init__(self, rate: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise UserError(f"dropout must be at least 0 and below 1. Received: {rate}.")
        self.rate, self.supports_masking = rate, True
        if rate:
            self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Inputs of any shape to outputs of the same."""
        if not training or not self.rate:
            return inputs
        dropped = round(self.rate * 2**16)
        shape = tf.shape(inputs)
        draws = tf.random.stateless_uniform(
            [tf.reduce_prod(shape) // 2 + 1], self.seed_generator.next(), None, None, tf.int32, alg="philox"
        )
        draws = tf.reshape(tf.bitcast(draws, tf.uint16), [-1])[: tf.reduce_prod(shape)]
        is_kept = tf.cast(draws >= tf.constant(dropped, tf.uint16), inputs.dtype)
        return inputs * tf.reshape(is_kept * (2**16 / (2**16 - dropped)), shape)


def mlp(inputs: Tensor, hidden: Sequence[int], dropout: float = 0.0, activation: str = "relu") -> Tensor:
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
        inputs = Dropout(dropout)(layers.Dense(units, activation=activation)(inputs))
    return inputs


def joined_mlp(
    query: Tensor, item: Tensor, hidden: Sequence[int], dropout: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """An MLP over a query vector and an item vector side by side.

    Its first layer is a sum of what it makes of either. So it is applied once a query and once an item,
    and not once a pair. Layers are named `mlp_query`, `mlp_item`, `mlp_1`, `mlp_2`, and so on.

    Args:
        query: `[batch, dim]` symbolic tensor.
        item: `[batch, dim]` symbolic tensor.
        hidden: Units of each layer, at least one layer.
        dropout: Share of units dropped after each layer in training.

    Returns:
        What the first layer makes of the query and of the item, `[batch, hidden[0]]` each, and the units of
        the last layer, `[batch, hidden[-1]]`.
    """
    if not hidden:
        raise UserError("hidden needs the units of at least one layer. Received none.")
    # The limit of Glorot and Bengio for one layer over both.
    limit = (6 / (query.shape[-1] + item.shape[-1] + hidden[0])) ** 0.5
    start = {"kernel_initializer": keras.initializers.RandomUniform(-limit, limit)}
    query = layers.Dense(hidden[0], name="mlp_query", **start)(query)
    item = layers.Dense(hidden[0], name="mlp_item", use_bias=False, **start)(item)
    units = Dropout(dropout)(ops.relu(query + item))
    for number, width in enumerate(hidden[1:], start=1):
        units = Dropout(dropout)(layers.Dense(width, activation="relu", name=f"mlp_{number}")(units))
    return query, item, units


def unit_length(vectors: Tensor) -> Tensor:
    """Vectors of the same direction and the length 1; a vector of zeros stays one, in every export format.

    Keras' own layer becomes an operator that gives no number for zeros in TFLite.

    Args:
        vectors: `[batch, dim]` symbolic tensor.

    Returns:
        `[batch, dim]` symbolic tensor.
    """
    return vectors / ops.maximum(ops.sqrt(ops.sum(vectors * vectors, axis=-1, keepdims=True)), 1e-6)
