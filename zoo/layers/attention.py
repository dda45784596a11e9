"""Layers of transformers over histories, which are padded in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers, ops

from zoo.errors import UserError
from zoo.layers.basic import Dropout

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# The logit of an event that is not seen. Finite even in bfloat16, so that a row that sees nothing has no NaN.
HIDDEN = -1e9


@keras.saving.register_keras_serializable("recozoo")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector to each event, by its place counted from the end of the history.

    Args:
        length: The longest history.
        scale: What events are multiplied by before.
        stddev: Spread of the initial vectors.

    Example:

    >>> PositionEmbedding(5)(np.ones((2, 3, 4), "float32")).shape
    TensorShape([2, 3, 4])
    """

    def __init__(self, length: int, *, scale: float = 1.0, stddev: float = 0.02, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.length, self.scale, self.stddev = length, scale, stddev

    def build(self, input_shape: Shape) -> None:
        """Makes the vectors."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.length, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=self.stddev),
        )

    def call(self, events: Tensor) -> Tensor:
        """`[batch, length, dim]` to the same shape, at most as long as the longest history."""
        return events * self.scale + self.embeddings[self.length - events.shape[1] :]


@keras.saving.register_keras_serializable("recozoo")
class SelfAttention(keras.layers.Layer):
    """Multi-head attention of events to events (Vaswani et al., 2017, arXiv:1706.03762).

    Args:
        num_heads: Heads, among which the width is divided.
        dropout: Share of attention weights dropped.
        is_causal: Whether an event sees only itself and what came before it.

    Raises:
        UserError: If the width is no multiple of the heads.

    Example:

    >>> events, exists = np.ones((2, 3, 4), "float32"), np.array([[False, True, True]] * 2)
    >>> SelfAttention(num_heads=2)(events, exists).shape
    TensorShape([2, 3, 4])
    """

    def __init__(self, num_heads: int, dropout: float = 0.0, is_causal: bool = True, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.dropout, self.is_causal = num_heads, dropout, is_causal
        self._drop = Dropout(dropout)

    def build(self, input_shape: Shape, *others: Shape) -> None:
        """Makes the projections."""
        dim = width(input_shape, self.num_heads)
        # One product makes queries, keys and values.
        self._project, self._join = layers.Dense(3 * dim), layers.Dense(dim)
        self._project.build(input_shape)
        self._join.build(input_shape)

    def call(self, events: Tensor, exists: Tensor, training: bool = False) -> Tensor:
        """Events as they look in the light of the others.

        Args:
            events: `[batch, length, dim]`.
            exists: `[batch, length]` bool, false for padding, which no event sees.
            training: Whether weights are dropped.

        Returns:
            `[batch, length, dim]`. What stands at padding is of no use, and finite.
        """
        queries, keys, values = (
            split_heads(part, self.num_heads) for part in ops.split(self._project(events), 3, axis=-1)
        )
        logits = ops.matmul(queries / queries.shape[-1] ** 0.5, ops.transpose(keys, (0, 1, 3, 2)))
        weights = ops.softmax(ops.where(visible(exists, self.is_causal), logits, HIDDEN), axis=-1)
        return self._join(join_heads(ops.matmul(self._drop(weights, training=training), values)))


@keras.saving.register_keras_serializable("recozoo")
class TransformerBlock(keras.layers.Layer):
    """Attention and a small network of each event, both with a residual around them.

    Args:
        num_heads: Heads of the attention.
        hidden: Units of the network's hidden layer.
        dropout: Share of units and of attention weights dropped.
        activation: Activation of the hidden layer.
        is_causal: Whether an event sees only itself and what came before it.
        is_normed_first: Whether each part reads its input normalized (pre-norm), or each sum is normalized (post-norm).

    Example:

    >>> events, exists = np.ones((2, 3, 4), "float32"), np.array([[False, True, True]] * 2)
    >>> TransformerBlock(num_heads=2, hidden=8)(events, exists).shape
    TensorShape([2, 3, 4])
    """

    def __init__(
        self,
        num_heads: int,
        hidden: int,
        dropout: float = 0.0,
        activation: str = "relu",
        is_causal: bool = True,
        is_normed_first: bool = True,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.hidden, self.dropout, self.activation = num_heads, hidden, dropout, activation
        self.is_causal, self.is_normed_first = is_causal, is_normed_first
        self._attention, self._drop = SelfAttention(num_heads, dropout, is_causal), Dropout(dropout)
        self._norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self._hidden = layers.Dense(hidden, activation=activation)

    def build(self, input_shape: Shape, *others: Shape) -> None:
        """Makes the weights."""
        self._attention.build(input_shape)
        for norm in self._norms:
            norm.build(input_shape)
        self._hidden.build(input_shape)
        self._output = layers.Dense(input_shape[-1])
        self._output.build((*input_shape[:-1], self.hidden))

    def call(self, events: Tensor, exists: Tensor, training: bool = False) -> Tensor:
        """`[batch, length, dim]` events and whether each exists (`[batch, length]`) to `[batch, length, dim]`."""

        def attend(normed: Tensor) -> Tensor:
            return self._drop(self._attention(normed, exists, training=training), training=training)

        def rewrite(normed: Tensor) -> Tensor:
            return self._drop(self._output(self._drop(self._hidden(normed), training=training)), training=training)

        for norm, part in zip(self._norms, (attend, rewrite), strict=True):
            events = events + part(norm(events)) if self.is_normed_first else norm(events + part(events))
        return events


@keras.saving.register_keras_serializable("recozoo")
class GatedBlock(keras.layers.Layer):
    """A pre-norm transformer block whose residuals pass gates, with SwiGLU in the place of the small network.

    It is the block of LiGR (arXiv:2502.03417). SwiGLU is that of Shazeer (2020, arXiv:2002.05202).

    Args:
        num_heads: Heads of the attention.
        hidden: Units of the SwiGLU.
        dropout: Share of units and of attention weights dropped.

    Example:

    >>> events, exists = np.ones((2, 3, 4), "float32"), np.array([[False, True, True]] * 2)
    >>> GatedBlock(num_heads=2, hidden=8)(events, exists).shape
    TensorShape([2, 3, 4])
    """

    def __init__(self, num_heads: int, hidden: int, dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.hidden, self.dropout = num_heads, hidden, dropout
        self._attention, self._drop = SelfAttention(num_heads, dropout), Dropout(dropout)
        self._norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        # One product makes what is let through and how much of it.
        self._hidden = layers.Dense(2 * hidden, use_bias=False)

    def build(self, input_shape: Shape, *others: Shape) -> None:
        """Makes the weights."""
        dim = input_shape[-1]
        self._gates = [layers.Dense(dim, activation="sigmoid") for _ in range(2)]
        self._output = layers.Dense(dim, use_bias=False)
        for part in (self._attention, self._hidden, *self._norms, *self._gates):
            part.build(input_shape)
        self._output.build((*input_shape[:-1], self.hidden))

    def call(self, events: Tensor, exists: Tensor, training: bool = False) -> Tensor:
        """`[batch, length, dim]` events and whether each exists (`[batch, length]`) to `[batch, length, dim]`."""
        attended = self._attention(self._norms[0](events), exists, training=training)
        events = events + self._gates[0](events) * self._drop(attended, training=training)
        passed, gate = ops.split(self._hidden(self._norms[1](events)), 2, axis=-1)
        rewritten = self._output(self._drop(ops.silu(gate) * passed, training=training))
        return events + self._gates[1](events) * self._drop(rewritten, training=training)


def visible(exists: Tensor, is_causal: bool) -> Tensor:
    """Which events see which, for every head.

    Args:
        exists: `[batch, length]` bool.
        is_causal: Whether an event sees only itself and what came before it.

    Returns:
        `[batch, 1, length, length]` bool; rows see columns.
    """
    length = exists.shape[1]
    seen = exists[:, None, None, :]
    return ops.logical_and(seen, np.tril(np.ones((length, length), bool)) if is_causal else np.ones((length, 1), bool))


def split_heads(events: Tensor, num_heads: int) -> Tensor:
    """`[batch, length, dim]` to `[batch, heads, length, dim / heads]`."""
    length, dim = events.shape[1:]
    if num_heads == 1:
        return events[:, None]
    return ops.transpose(ops.reshape(events, (-1, length, num_heads, dim // num_heads)), (0, 2, 1, 3))


def join_heads(events: Tensor) -> Tensor:
    """`[batch, heads, length, dim / heads]` to `[batch, length, dim]`."""
    num_heads, length, dim = events.shape[1:]
    if num_heads == 1:
        return events[:, 0]
    return ops.reshape(ops.transpose(events, (0, 2, 1, 3)), (-1, length, num_heads * dim))


def width(shape: Shape, num_heads: int) -> int:
    """The width of events of a shape. Raises a `UserError` unless it can be divided among so many heads."""
    dim = shape[-1] or 0
    if num_heads < 1 or dim % num_heads:
        raise UserError(
            f"num_heads must be at least 1 and divide the width {dim} (embedding_dim). Received: {num_heads}."
        )
    return dim
