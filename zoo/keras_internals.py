"""What recozoo takes from Keras beyond its public interface, in one place. A test of each fails if Keras drops it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import keras
import tensorflow as tf


def flatten_layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """A layer or model and all layers inside it, each once.

    Args:
        layer: A layer or model.

    Returns:
        An iterator that starts with `layer` itself.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="last")])
    >>> [inner.name for inner in flatten_layers(model)][-1]
    'last'
    """
    return layer._flatten_layers()


@contextlib.contextmanager
def open_for_weights(layer: keras.layers.Layer) -> Iterator[None]:
    """Lets a layer that is built make other weights.

    Args:
        layer: The layer.

    Example:

    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> with open_for_weights(layer):
    ...     layer.bias = layer.add_weight(shape=(4,))
    """
    layer._tracker.unlock()
    try:
        yield
    finally:
        layer._tracker.lock()


# What an optimizer keeps of every variable that it trains.
Slot: TypeAlias = Literal["accumulators", "momentums", "velocities"]


def slot_of(optimizer: keras.optimizers.Optimizer, slot: Slot, variable: keras.Variable) -> tf.Variable:
    """The state that an optimizer keeps of one variable, to be read and updated by row.

    Args:
        optimizer: A built optimizer of Keras that keeps this state.
        slot: Which state.
        variable: The variable.

    Returns:
        A TensorFlow variable of the shape of `variable`.

    Example:

    >>> table, adam = keras.Variable([1.0, 2.0]), keras.optimizers.Adam()
    >>> adam.build([table])
    >>> slot_of(adam, "momentums", table).numpy()
    array([0., 0.], dtype=float32)
    """
    return getattr(optimizer, f"_{slot}")[optimizer._get_variable_index(variable)].value


class GradientsSummedBefore(keras.optimizers.Optimizer):
    """Mixed into an optimizer whose gradients are summed over all replicas before it gets them.

    Keras would sum them once more.
    """

    def _all_reduce_sum_gradients(
        self, grads_and_vars: Sequence[tuple[tf.Tensor, keras.Variable]]
    ) -> Sequence[tuple[tf.Tensor, keras.Variable]]:
        return grads_and_vars
