"""Item features inside the model, so that a request carries item ids only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
from keras import ops

from zoo.layers.data import DataLayer, Source
from zoo.schema import Feature

if TYPE_CHECKING:
    from zoo.types import Tensor


@keras.saving.register_keras_serializable("recozoo")
class CatalogueRows(DataLayer[Mapping[str, np.ndarray]]):
    """The encoded value of one feature for every item, not trained; called on item ids.

    Args:
        num_items: Rows of the item table, padding and unknown included.
        feature: The item feature.
        **kwargs: Those of a Keras layer.

    Example:

    >>> rows = CatalogueRows(3, Feature("year", "item", "numeric"))
    >>> rows.adapt({"year": np.array([0.0, 0.0, 1.5])})
    >>> rows(np.array([2, 1])).numpy()
    array([1.5, 0. ], dtype=float32)
    """

    source: ClassVar[Source] = "items"

    def __init__(self, num_items: int, feature: Feature, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_items, self.feature, self.feature_name = num_items, feature, feature.name
        self.rows = self.add_weight(
            name="rows",
            shape=(num_items, *feature.shape),
            dtype=feature.dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def get_config(self) -> dict[str, object]:
        """What builds the layer again, JSON-ready."""
        feature = dataclasses.asdict(self.feature)
        return {**super().get_config(), "num_items": self.num_items, "feature": feature}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CatalogueRows:
        """The layer that a config describes, without its values."""
        return cls(**{**config, "feature": Feature(**config["feature"])})

    def adapt(self, data: Mapping[str, np.ndarray]) -> None:
        """Puts the values of the feature into the layer.

        Args:
            data: The item table: `[num_items, *feature.shape]` arrays by the name of a feature.
        """
        self.rows.assign(data[self.feature_name])

    def call(self, items: Tensor) -> Tensor:
        """`[batch]` items to `[batch, *feature.shape]`."""
        return ops.take(self.rows, items, axis=0)
