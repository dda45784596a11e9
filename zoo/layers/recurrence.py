"""A linear recurrence over histories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import keras
import numpy as np
from keras import ops

from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# Places of a history that are gone through one after the other.
CHUNK = 8


@keras.saving.register_keras_serializable("recozoo")
class LinearRecurrence(keras.layers.Layer):
    """The states of a linear recurrent unit (Orvieto et al., 2023, arXiv:2303.06349).

    A state is the one before, turned and shrunk by a complex number of each unit, and the input: `h = a * h + g * u`.
    Complex numbers are held as real and imaginary parts, because TFLite has no operators for them. The history is cut
    into chunks, whose states are made all at once; the last states of chunks are a history of their own. So the steps
    one after the other grow by the logarithm of the length only, and each input is read twice.

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
        units = (input_shape[-1] or 0) // 2
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
        real, imaginary = ops.split(inputs, 2, axis=-1)
        return ops.concatenate(_states((real * scale, imaginary * scale), factor), axis=-1)


# Real and imaginary parts.
Complex: TypeAlias = "tuple[Tensor, Tensor]"


def _states(inputs: Complex, factor: Complex) -> Complex:
    """States of `[batch, length, units]` inputs; of each, the state before is multiplied by the factor, `[units]`."""
    length, units = inputs[0].shape[1:]
    if length == 1:
        return inputs
    chunk = min(CHUNK, length)
    # Zeros in front leave the first state as it is.
    missing = -length % chunk
    chunks = (ops.pad(part, [[0, 0], [missing, 0], [0, 0]]) for part in inputs)
    real, imaginary = (ops.reshape(part, (-1, (length + missing) // chunk, chunk, units)) for part in chunks)
    states, powers = [(real[:, :, 0], imaginary[:, :, 0])], [factor]
    for place in range(1, chunk):
        states.append(_sum(_product(factor, states[-1]), (real[:, :, place], imaginary[:, :, place])))
        powers.append(_product(factor, powers[-1]))
    lasts = _states(states[-1], powers[-1])
    before = tuple(ops.pad(part[:, :-1], [[0, 0], [1, 0], [0, 0]])[:, :, None] for part in lasts)
    whole = _sum(_stacked(states, axis=2), _product(_stacked(powers, axis=0), before))
    return tuple(ops.reshape(part, (-1, length + missing, units))[:, missing:] for part in whole)


def _stacked(numbers: Sequence[Complex], axis: int) -> Complex:
    """Complex numbers along a new axis."""
    return tuple(ops.stack(parts, axis=axis) for parts in zip(*numbers, strict=True))


def _sum(one: Complex, other: Complex) -> Complex:
    """The sum of two complex numbers."""
    return one[0] + other[0], one[1] + other[1]


def _product(one: Complex, other: Complex) -> Complex:
    """The product of two complex numbers."""
    return one[0] * other[0] - one[1] * other[1], one[0] * other[1] + one[1] * other[0]
