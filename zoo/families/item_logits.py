"""Item logits: a query to one logit for every item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from zoo.families.base import ClosedForm, Pretrained, Recommender, float32, sources


class ItemLogits(Recommender):
    """A query to one logit an item of the catalogue.

    Args:
        logits: `[batch, num_items]` symbolic logits, columns in index order, padding and unknown included.
        closed_form: See `Recommender`.
        pretrained: See `Recommender`.
    """

    def __init__(
        self, logits: Any, closed_form: ClosedForm | None = None, pretrained: Pretrained | None = None
    ) -> None:
        logits = float32(logits)
        inputs = sources([logits])
        query_inputs = dict(inputs)
        item = keras.Input(shape=(), dtype="int32", name="item")
        inputs["item"] = item
        super().__init__(inputs, ops.take_along_axis(logits, item[:, None], axis=1), closed_form, pretrained)
        self.parts.logits = keras.Model(query_inputs, logits)

    def encode_query(self, query: Mapping[str, Any], training: bool = False) -> Any:
        """`[batch, num_items]` logits, before they are made ratings."""
        return self.parts.logits({name: query[name] for name in self.query_names}, training=training)

    def encode_catalogue(self) -> list[Any]:
        """Nothing: the items are the columns of the last layer."""
        return []

    def score_encoded(self, query: Any, catalogue: list[Any], items: Any | None = None) -> Any:
        """The logits themselves, or the columns of some items."""
        logits = query if items is None else tf.gather(query, items, axis=1, batch_dims=1)
        return self.parts.rating_scale(logits)

    def score_items(
        self, query: Mapping[str, Any], items: Any, catalogue: list[Any] | None = None, training: bool = False
    ) -> Any:
        """The columns of the items."""
        return self.score_encoded(self.encode_query(query, training=training), [], items)

    def score_shared(self, query: Mapping[str, Any], items: Any, own: Any | None = None, training: bool = False) -> Any:
        """The columns of the shared items."""
        logits = self.encode_query(query, training=training)
        scores = tf.gather(logits, items, axis=1)
        if own is not None:
            scores = tf.concat([tf.gather(logits, own, axis=1, batch_dims=1), scores], axis=1)
        return self.parts.rating_scale(scores)
