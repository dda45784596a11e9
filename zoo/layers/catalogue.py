"""Item features inside the model, so that a request carries item ids only."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo.schema import Feature


class CatalogueRows(keras.layers.Layer):
    """The encoded value of one feature for every item, not trained; called on item ids.

    Args:
        num_items: Rows of the item table, padding and unknown included.
        feature: The item feature.
    """

    def __init__(self, num_items: int, feature: Feature, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feature_name = feature.name
        self.rows = self.add_weight(
            name="rows",
            shape=(num_items, *feature.shape),
            dtype=feature.dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def call(self, items: Any) -> Any:
        """`[batch]` items to `[batch, *feature.shape]`."""
        return ops.take(self.rows, items, axis=0)
