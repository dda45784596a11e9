"""Attention without softmax, with biases by distance and by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers, ops

from zoo.layers.attention import join_heads, split_heads, visible, width
from zoo.layers.basic import Dropout
from zoo.schema import SECONDS_A_DAY

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# Biases for gaps of 1, 2, 4, ... seconds and for none: the last one is for 34 years.
NUM_GAPS = 32

# Weights may be nearly 0, and so what they sum up to. A norm that blew that up would blow up the last digits of times.
LEAST_VARIANCE = 1e-4


@keras.saving.register_keras_serializable("recozoo")
class PointwiseAttentionBlock(keras.layers.Layer):
    """The block of a hierarchical sequential transduction unit (Zhai et al., 2024, arXiv:2402.17152, equations 1 to 3).

    An event sees itself and what came before it. The weight of each is SiLU of a product and a bias. What they sum up
    to is divided by how many are seen, normalized, and gated by a SiLU of the event itself.

    Args:
        num_heads: Heads, among which the width is divided.
        length: The longest history.
        dropout: Share of units dropped.

    Example:

    >>> events, exists = np.ones((2, 3, 4), "float32"), np.array([[False, True, True]] * 2)
    >>> PointwiseAttentionBlock(num_heads=2, length=5)(events, exists).shape
    TensorShape([2, 3, 4])
    """

    def __init__(self, num_heads: int, length: int, dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.length, self.dropout = num_heads, length, dropout
        self._drop = Dropout(dropout)
        self._norms = [layers.LayerNormalization(epsilon=epsilon) for epsilon in (1e-6, LEAST_VARIANCE)]

    def build(self, input_shape: Shape, *others: Shape) -> None:
        """Makes the weights."""
        dim = width(input_shape, self.num_heads)
        self._project, self._output = layers.Dense(4 * dim, activation="silu", use_bias=False), layers.Dense(dim)
        for part in (self._project, self._output, *self._norms):
            part.build(input_shape)
        self._by_distance = self.add_weight(
            name="by_distance", shape=(self.length,), initializer=keras.initializers.RandomNormal(stddev=0.02)
        )

    def call(self, events: Tensor, exists: Tensor, bias: Tensor | None = None, training: bool = False) -> Tensor:
        """Events as they look in the light of what came before.

        Args:
            events: `[batch, length, dim]`.
            exists: `[batch, length]` bool, false for padding, which no event sees.
            bias: `[batch, length, length]` added to the products, e.g. `TimeGapBias`.
            training: Whether units are dropped.

        Returns:
            `[batch, length, dim]`. What stands at padding is of no use, and finite.
        """
        gates, values, queries, keys = ops.split(self._project(self._norms[0](events)), 4, axis=-1)
        queries, keys, values = (split_heads(part, self.num_heads) for part in (queries, keys, values))
        logits = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))) + self._distance_bias(events.shape[1])
        if bias is not None:
            logits = logits + bias[:, None]
        seen = ops.cast(visible(exists, is_causal=True), logits.dtype)
        weights = ops.silu(logits) * seen / ops.maximum(ops.sum(seen, axis=-1, keepdims=True), 1.0)
        attended = self._norms[1](join_heads(ops.matmul(weights, values)))
        return events + self._output(self._drop(gates * attended, training=training))

    def _distance_bias(self, length: int) -> Tensor:
        places = np.arange(length)
        return ops.take(self._by_distance, np.maximum(places[:, None] - places, 0), axis=0)


@keras.saving.register_keras_serializable("recozoo")
class TimeGapBias(keras.layers.Layer):
    """A learned bias for the time from an event to the moment that the next one was asked for.

    Biases are learned for gaps of 0, 1, 3, 7, ... seconds. In between they are interpolated by the logarithm of the
    gap, so that a last digit of an age changes little.

    Example:

    >>> TimeGapBias()(np.array([[3.0, 1.0, 0.5]], "float32")).shape
    TensorShape([1, 3, 3])
    """

    def build(self, input_shape: Shape) -> None:
        """Makes the biases."""
        self._by_gap = self.add_weight(
            name="by_gap", shape=(NUM_GAPS,), initializer=keras.initializers.RandomNormal(stddev=0.02)
        )

    def call(self, ages: Tensor) -> Tensor:
        """Biases by the days that events were before the query.

        Args:
            ages: `[batch, length]`.

        Returns:
            `[batch, length, length]`: rows ask when the event after them happened, the last one when the query is made.
        """
        asked = ops.pad(ages[:, 1:], [[0, 0], [0, 1]])
        seconds = ops.maximum(ages[:, None, :] - asked[:, :, None], 0.0) * SECONDS_A_DAY
        place = ops.minimum(ops.log(1.0 + seconds) * float(1 / np.log(2)), NUM_GAPS - 1.001)
        below = ops.floor(place)
        share, below = place - below, ops.cast(below, "int32")
        return ops.take(self._by_gap, below) * (1.0 - share) + ops.take(self._by_gap, below + 1) * share
