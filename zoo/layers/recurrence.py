"""A linear recurrence over histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


@keras.saving.register_keras_serializable("recozoo")
class LinearRecurrence(keras.layers.Layer):
    """The states of a linear recurrent unit (Orvieto et al., 2023, arXiv:2303.06349).

    A state is the one before, turned and shrunk by a complex number of each unit, and the input: `h = a * h + g * u`.
    Complex numbers are held as real and imaginary parts, because TFLite has no operators for them. All states are made
    in a number of sums that grows by the logarithm of the length: after each sum a state holds twice as many inputs.

    Args:
        smallest: The least size of `a` at first.
        largest: The largest size of `a` at first.

    Example:

    >>> LinearRecurrence()(np.ones((2, 3, 8), "float32")).shape
    TensorShape([2, 3, 8])
    """

    def __init__(self, smallest: float = 0.8, largest: float = 0.99, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not 0 <= smallest < largest < 1:
            raise UserError(f"Sizes must be 0 <= smallest < largest < 1. Received: {smallest} and {largest}.")
        self.smallest, self.largest = smallest, largest

    def build(self, input_shape: Shape) -> None:
        """Makes the numbers that states are multiplied by."""
        units = input_shape[-1] // 2
        draws = keras.random.uniform((2, units))
        # Uniform in the ring between the two sizes.
        squares = draws[0] * (self.largest**2 - self.smallest**2) + self.smallest**2
        sizes = -0.5 * ops.log(squares)

        def weight(name: str, values: Tensor) -> keras.Variable:
            return self.add_weight(name=name, shape=(units,), initializer=lambda shape, dtype: ops.cast(values, dtype))

        self._log_decay = weight("log_decay", ops.log(sizes))
        self._log_angle = weight("log_angle", ops.log(2 * np.pi * draws[1] + 1e-6))
        self._log_scale = weight("log_scale", 0.5 * ops.log(1 - squares))

    def call(self, inputs: Tensor) -> Tensor:
        """Inputs to states.

        Args:
            inputs: `[batch, length, 2 * units]`, real parts first. Zeros leave a state of zeros as it is.

        Returns:
            `[batch, length, 2 * units]`, real parts first.
        """
        size, angle = ops.exp(-ops.exp(self._log_decay)), ops.exp(self._log_angle)
        factor = size * ops.cos(angle), size * ops.sin(angle)
        scale = ops.exp(self._log_scale)
        real, imaginary = (part * scale for part in ops.split(inputs, 2, axis=-1))
        step = 1
        while step < inputs.shape[1]:
            before = _later(real, step), _later(imaginary, step)
            turned = _product(factor, before)
            real, imaginary = real + turned[0], imaginary + turned[1]
            factor, step = _product(factor, factor), 2 * step
        return ops.concatenate([real, imaginary], axis=-1)


def _later(states: Tensor, steps: int) -> Tensor:
    """`[batch, length, units]` states so many places later, with zeros in front."""
    return ops.pad(states[:, :-steps], [[0, 0], [steps, 0], [0, 0]])


def _product(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The product of two complex numbers."""
    return one[0] * other[0] - one[1] * other[1], one[0] * other[1] + one[1] * other[0]
