"""Noise that contrastive architectures add in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from zoo.errors import UserError
from zoo.layers.basic import unit_length

if TYPE_CHECKING:
    from zoo.types import Tensor


@keras.saving.register_keras_serializable("recozoo")
class Noise(keras.layers.Layer):
    """Adds a random vector to every vector in training, from the same orthant and of a given length (SimGCL, 2022).

    Args:
        length: The length of what is added.
        **kwargs: Those of a Keras layer.

    Raises:
        UserError: If the length is below 0.

    Example:

    >>> Noise(0.1)(tf.constant([[3.0, 4.0]]), training=False).numpy().tolist()
    [[3.0, 4.0]]
    """

    def __init__(self, length: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if length < 0:
            raise UserError(f"noise must be at least 0. Received: {length}.")
        self.length = length
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, vectors: Tensor, training: bool = False) -> Tensor:
        """`[n, dim]` to `[n, dim]`."""
        if not training or not self.length:
            return vectors
        draws = tf.random.stateless_uniform(tf.shape(vectors), self.seed_generator.next(), alg="philox")
        return vectors + self.length * tf.sign(vectors) * tf.cast(unit_length(draws), vectors.dtype)
