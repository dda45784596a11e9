"""What recozoo takes from Keras beyond its public interface, in one place. A test of each fails if Keras drops it."""

from __future__ import annotations

from collections.abc import Iterator

import keras


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
