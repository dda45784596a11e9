"""Towers: a query tower and an item tower whose dot product is the score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from zoo.families.base import ClosedForm, Pretrained, Recommender, float32, sources


class Towers(Recommender):
    """A query tower and an item tower whose dot product is the score.

    Args:
        query: `[batch, dim]` symbolic query vector.
        item: `[batch, dim]` symbolic item vector.
        query_bias: `[batch, 1]` added to every score of a query.
        item_bias: `[batch, 1]` added to every score of an item.
        positions: `[batch, length, dim]` for sequence architectures: the query vector after every
            event of the history, of which `query` is the last. The next-item objective trains them all.
        closed_form: See `Recommender`.
        pretrained: See `Recommender`.
    """

    def __init__(
        self,
        query: Any,
        item: Any,
        query_bias: Any | None = None,
        item_bias: Any | None = None,
        positions: Any | None = None,
        closed_form: ClosedForm | None = None,
        pretrained: Pretrained | None = None,
    ) -> None:
        # Biases become two more dimensions, so that a dot product of vectors is all there ever is.
        query, item = map(float32, _with_biases(query, query_bias, item, item_bias))
        inputs = sources([query, item])
        super().__init__(inputs, ops.sum(query * item, axis=-1), closed_form, pretrained)
        query_inputs = {name: inputs[name] for name in self.query_names}
        self.parts.query = keras.Model(query_inputs, query)
        self.parts.item = keras.Model(inputs["item"], item)
        if positions is not None:
            positions = positions if item_bias is None else _append_one(positions)
            self.parts.positions = keras.Model(query_inputs, float32(positions))

    @property
    def dim(self) -> int:
        """The width of query and item vectors, biases included."""
        return self.parts.query.output_shape[-1]

    def encode_query(self, query: Mapping[str, Any], training: bool = False) -> Any:
        """`[batch, dim]` query vectors."""
        return self.parts.query({name: query[name] for name in self.query_names}, training=training)

    def encode_positions(self, query: Mapping[str, Any], training: bool = False) -> Any:
        """`[batch, length, dim]` query vectors after every event of the history."""
        return self.parts.positions({name: query[name] for name in self.query_names}, training=training)

    def encode_items(self, items: Any, training: bool = False) -> Any:
        """`[n, dim]` item vectors of `[n]` items."""
        return self.parts.item(items, training=training)

    def encode_candidates(self, items: Any, training: bool = False) -> Any:
        """`[batch, candidates, dim]` item vectors of `[batch, candidates]` items."""
        vectors = self.encode_items(tf.reshape(items, [-1]), training=training)
        return tf.reshape(vectors, [tf.shape(items)[0], tf.shape(items)[1], vectors.shape[-1]])

    def encode_catalogue(self) -> list[Any]:
        """The item matrix, `[num_items, dim]`."""
        return [self.encode_items(tf.range(self.num_items))]

    def score_encoded(self, query: Any, catalogue: list[Any], items: Any | None = None) -> Any:
        """One matrix product with the item matrix, or dot products of each query with its own items."""
        if items is None:
            logits = tf.matmul(query, catalogue[0], transpose_b=True)
        else:
            logits = tf.linalg.matvec(tf.gather(catalogue[0], items), query)
        return self.parts.rating_scale(logits)

    def score_items(
        self, query: Mapping[str, Any], items: Any, catalogue: list[Any] | None = None, training: bool = False
    ) -> Any:
        """Dot products of each query with its own items."""
        query_vectors = self.encode_query(query, training=training)
        if catalogue is not None:
            return self.score_encoded(query_vectors, catalogue, items)
        vectors = self.encode_candidates(items, training)
        return self.parts.rating_scale(tf.linalg.matvec(vectors, query_vectors))

    def score_shared(self, query: Mapping[str, Any], items: Any, own: Any | None = None, training: bool = False) -> Any:
        """One matrix product of the queries with the shared items."""
        query_vectors = self.encode_query(query, training=training)
        logits = tf.matmul(query_vectors, self.encode_items(items, training=training), transpose_b=True)
        if own is not None:
            vectors = self.encode_candidates(own, training)
            logits = tf.concat([tf.linalg.matvec(vectors, query_vectors), logits], axis=1)
        return self.parts.rating_scale(logits)


def _with_biases(query: Any, query_bias: Any | None, item: Any, item_bias: Any | None) -> tuple[Any, Any]:
    if query_bias is not None:
        query, item = ops.concatenate([query, query_bias], -1), _append_one(item)
    if item_bias is not None:
        query, item = _append_one(query), ops.concatenate([item, item_bias], -1)
    return query, item


def _append_one(vectors: Any) -> Any:
    return ops.concatenate([vectors, ops.ones_like(vectors[..., :1])], -1)
