"""Layers that answer with tables made of trained weights, so that serving does not make them again."""

from __future__ import annotations

import keras

from zoo.keras_internals import flatten_layers


class DerivedLayer(keras.layers.Layer):
    """A layer that holds what follows from trained weights, as weights that are not trained."""

    def derive(self) -> None:
        """Makes anew what the layer holds, from the weights as they are now."""
        raise NotImplementedError


def derive(model: keras.Model) -> None:
    """Makes anew what layers of a model hold that follows from its trained weights.

    Training does it after every epoch. Who trains in another way calls it before the model is asked.

    Args:
        model: The model.
    """
    for layer in flatten_layers(model):
        if isinstance(layer, DerivedLayer):
            layer.derive()
