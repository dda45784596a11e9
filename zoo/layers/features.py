"""From named features to vectors: one node a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from zoo.layers.basic import Embedding
from zoo.layers.catalogue import CatalogueRows
from zoo.schema import Feature, Schema


class FeatureNodes:
    """The features of some roles as vectors of one width: categorical nodes, numeric nodes, text nodes.

    Item features are looked up in the catalogue by the item id; all others are model inputs.

    Args:
        schema: The schema of the data.
        roles: Whose features are read.
        dim: Width of a node.
    """

    def __init__(self, schema: Schema, roles: Sequence[Any], dim: int) -> None:
        self.categorical: list[Any] = []
        self.numeric: list[Any] = []
        self.text: list[Any] = []
        item = schema.input("item") if "item" in roles else None
        for feature in schema.role(*roles):
            value = _value(schema, feature, item)
            if feature.kind == "numeric":
                self.numeric.append(NumericEmbedding(dim)(value))
            elif feature.kind == "text":
                self.text.append(layers.Dense(dim, name=f"{feature.name}_projection")(value))
            elif feature.length is None:
                self.categorical.append(Embedding(feature.size, dim)(value))
            else:
                self.categorical.append(_masked_mean(Embedding(feature.size, dim)(value), value))


class NumericEmbedding(keras.layers.Layer):
    """A learned embedding of a number: a direction scaled by the value, through a small non-linear layer.

    Args:
        dim: Width of the vector.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spread = layers.Dense(dim, activation="tanh")
        self.project = layers.Dense(dim)

    def build(self, input_shape: Any) -> None:
        """Builds both layers."""
        self.spread.build((None, 1))
        self.project.build((None, self.spread.units))

    def call(self, values: Any) -> Any:
        """`[batch]` numbers to `[batch, dim]`."""
        return self.project(self.spread(values[:, None]))


class HistoryPooling(keras.layers.Layer):
    """A history as one vector: the mean of its item vectors, weighted by what was thought of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weigh = layers.Dense(1)

    def build(self, *_: Any) -> None:
        """Builds the layer that turns a rating into a weight."""
        self.weigh.build((None, None, 1))

    def call(self, vectors: Any, items: Any, ratings: Any) -> Any:
        """`[batch, L, dim]` vectors, `[batch, L]` items and ratings to `[batch, dim]`; zeros where nothing was met."""
        met = ops.cast(items != 0, vectors.dtype)[..., None]
        weights = met * ops.exp(ops.tanh(self.weigh(ratings[..., None])))
        return ops.sum(weights * vectors, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1e-6)


def _value(schema: Schema, feature: Feature, item: Any) -> Any:
    if feature.role != "item":
        return schema.input(feature.name)
    return item if feature.name == "item" else CatalogueRows(schema.size("item"), feature)(item)


def _masked_mean(vectors: Any, indices: Any) -> Any:
    present = ops.cast(indices != 0, vectors.dtype)[..., None]
    return ops.sum(vectors * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)
