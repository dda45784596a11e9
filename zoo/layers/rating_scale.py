"""From logits to ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


@keras.saving.register_keras_serializable("recozoo")
class RatingScale(keras.layers.Layer):
    """`mean + std * logit`: the identity, until the labels are ratings and their mean and spread are set.

    Example:

    >>> import numpy as np
    >>> scale = RatingScale()
    >>> scale.build(())
    >>> scale.set(mean=3.0, std=2.0)
    >>> scale(np.array([0.5], "float32")).numpy()
    array([4.], dtype=float32)
    """

    def build(self, input_shape: Shape) -> None:
        """Makes the numbers, which are not trained."""
        self.mean = self.add_weight(name="mean", shape=(), initializer="zeros", trainable=False)
        self.std = self.add_weight(name="std", shape=(), initializer="ones", trainable=False)
        self.is_set = self.add_weight(name="is_set", shape=(), initializer="zeros", trainable=False)

    def set(self, mean: float, std: float) -> None:
        """Sets the mean and the spread of the ratings."""
        self.mean.assign(mean)
        self.std.assign(std)
        self.is_set.assign(1.0)

    def call(self, logits: Tensor) -> Tensor:
        """The scores, in the unit of the labels."""
        return logits * self.std + self.mean
