"""Layers that hold some of the data as weights. These are not trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Generic, Literal, TypeVar

import keras

from zoo.keras_internals import flatten_layers

# What a layer may hold some of: the item table, the training interactions, all ratings of training, or the words of the
# data.
Source = Literal["items", "interactions", "ratings", "texts"]
Data = TypeVar("Data")


class DataLayer(keras.layers.Layer, Generic[Data]):
    """A layer that holds some of the data. `adapt` puts it in, as with the preprocessing layers of Keras.

    A subclass names in `source` what its `adapt` is given. `Recommender.adapt` finds the layer by that name.
    """

    source: ClassVar[Source]

    def adapt(self, data: Data) -> None:
        """Puts the data into the layer.

        Args:
            data: What `source` names.
        """
        raise NotImplementedError


def data_layers(model: keras.Model) -> Iterator[DataLayer]:
    """The layers of a model that hold some of the data, in the order in which they were made.

    Args:
        model: The model.

    Returns:
        An iterator of `DataLayer`.
    """
    return (layer for layer in flatten_layers(model) if isinstance(layer, DataLayer))
