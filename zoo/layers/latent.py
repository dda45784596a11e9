"""What variational autoencoders are made of: a drawn latent variable, densities, and an encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import tensorflow as tf
from keras import layers, ops

from zoo.errors import UserError
from zoo.memory import check_memory

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


@keras.saving.register_keras_serializable("recozoo")
class NormalSample(keras.layers.Layer):
    """A draw of a normal variable in training, and its mean otherwise (Kingma and Welling, 2014, arXiv:1312.6114).

    The draw is the mean plus the deviation times standard noise, so that gradients reach both.

    Example:

    >>> NormalSample()(ops.ones((1, 3)), ops.zeros((1, 3))).numpy()
    array([[1., 1., 1.]], dtype=float32)
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, mean: Tensor, log_variance: Tensor, training: bool = False) -> Tensor:
        """`[batch, dim]` means and log variances to `[batch, dim]`."""
        if not training:
            return mean
        noise = tf.random.stateless_normal(tf.shape(mean), self.seed_generator.next(), alg="philox")
        return mean + ops.exp(0.5 * log_variance) * ops.cast(noise, mean.dtype)


@keras.saving.register_keras_serializable("recozoo")
class DenseResidual(keras.layers.Layer):
    """Dense layers with swish; each also gets the sum of all before it, and is normalized (Shenbin et al., 2020).

    Args:
        units: Units of each layer.
        depth: Number of layers.

    Example:

    >>> DenseResidual(units=4, depth=3)(ops.ones((2, 5))).shape
    TensorShape([2, 4])
    """

    def __init__(self, units: int, depth: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if depth < 1:
            raise UserError(f"The depth of a network must be at least 1. Received: {depth}.")
        self.units, self.depth = units, depth
        self.dense = [layers.Dense(units) for _ in range(depth)]
        # Shenbin et al. add 0.1 to the variance that is divided by.
        self.norms = [layers.LayerNormalization(epsilon=0.1) for _ in range(depth)]

    def build(self, input_shape: Shape) -> None:
        """Makes the layers."""
        hidden = (*input_shape[:-1], self.units)
        for number, (dense, norm) in enumerate(zip(self.dense, self.norms, strict=True)):
            dense.build(hidden if number else input_shape)
            norm.build(hidden)

    def call(self, inputs: Tensor) -> Tensor:
        """`[batch, dim]` to `[batch, units]`."""
        before, last = 0.0, inputs
        for dense, norm in zip(self.dense, self.norms, strict=True):
            last = norm(ops.silu(dense(last) + before))
            before = before + last
        return last

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One vector an input."""
        return (*input_shape[:-1], self.units)


def log_normal(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The log density of normal variables, each by itself.

    Args:
        values: `[batch, dim]` values.
        mean: Their means, of the same shape or a number.
        log_variance: The logs of their variances, of the same shape or a number.

    Returns:
        `[batch, dim]`, float32.

    Example:

    >>> round(float(log_normal(0.0, 0.0, 0.0)), 4)
    -0.9189
    """
    values, mean, log_variance = (ops.cast(one, "float32") for one in (values, mean, log_variance))
    squares = ops.square(values - mean) * ops.exp(-log_variance)
    return -0.5 * (math.log(2 * math.pi) + log_variance + squares)


def divergence_from_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of independent normal variables from standard ones, in closed form.

    Args:
        mean: `[batch, dim]` means.
        log_variance: `[batch, dim]` logs of the variances.

    Returns:
        `[batch]`, float32.

    Example:

    >>> divergence_from_standard(ops.array([[0.0, 2.0]]), ops.zeros((1, 2))).numpy()
    array([2.], dtype=float32)
    """
    mean, log_variance = ops.cast(mean, "float32"), ops.cast(log_variance, "float32")
    return 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=1)


def log_mixture(densities: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The log density of a mixture.

    Args:
        densities: Log densities of its parts, all of one shape.
        weights: Their shares, above 0.

    Returns:
        A tensor of that shape.

    Example:

    >>> round(float(log_mixture([log_normal(1.0, 0.0, 0.0), log_normal(1.0, 1.0, 0.0)], [0.5, 0.5])), 4)
    -1.138
    """
    weighted = [density + math.log(weight) for density, weight in zip(densities, weights, strict=True)]
    return ops.logsumexp(ops.stack(weighted, axis=-1), axis=-1)


def check_autoencoder(num_items: int, hidden: int) -> None:
    """Refuses a catalogue whose weights on both sides of an autoencoder do not fit into memory.

    Args:
        num_items: Rows of the item table.
        hidden: Units of the layers beside it.

    Raises:
        UserError: Before the memory is taken. The message names what scales better.
    """
    # The weights of one side are there while those of the other are drawn, which takes three times their memory.
    check_memory(
        f"An autoencoder with weights between {num_items:,} items and {hidden} units",
        4 * num_items * hidden * 4,
        "Choose fewer units, leave out rare items, or choose an architecture with item vectors, e.g. ials or mf.",
    )
