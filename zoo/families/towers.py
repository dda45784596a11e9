"""Towers: a query tower and an item tower whose dot product is the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import keras
import tensorflow as tf
from keras import ops

from zoo.families.base import Recommender
from zoo.families.contracts import Encoded, Pretrained, Solver
from zoo.families.symbolic import float32, sources

if TYPE_CHECKING:
    from zoo.types import Tensor


@dataclasses.dataclass(frozen=True)
class _Networks:
    """In a plain object, because Keras would count the weights of an attribute of the model a second time."""

    query: keras.Model
    item: keras.Model
    positions: keras.Model | None
    masked_positions: keras.Model | None
    query_view: keras.Model | None
    item_view: keras.Model | None


@keras.saving.register_keras_serializable("recozoo")
class Towers(Recommender):
    """A query tower and an item tower whose dot product is the score.

    Args:
        query: `[batch, dim]` symbolic query vector.
        item: `[batch, dim]` symbolic item vector.
        query_bias: `[batch, 1]` added to every score of a query.
        item_bias: `[batch, 1]` added to every score of an item.
        positions: `[batch, length, dim]` of sequence architectures: the query vector after every event of the
            history; the last one is `query`. The next-item objectives train all of them.
        masked_positions: `[batch, length, dim]` of architectures that fill in hidden items: the query vector of every
            place of a history. The index `num_items`, one above all items, hides what stands at a place.
        views: Second vectors of query and item, `[batch, width]` each, which contrastive objectives compare with the
            first.
        solver: See `Recommender`.
        pretrained: See `Recommender`.
    """

    family: ClassVar[str] = "towers"

    def __init__(
        self,
        query: keras.KerasTensor,
        item: keras.KerasTensor,
        query_bias: keras.KerasTensor | None = None,
        item_bias: keras.KerasTensor | None = None,
        positions: keras.KerasTensor | None = None,
        masked_positions: keras.KerasTensor | None = None,
        views: tuple[keras.KerasTensor, keras.KerasTensor] | None = None,
        solver: Solver | None = None,
        pretrained: Pretrained | None = None,
    ) -> None:
        # Biases become two more dimensions, so that a dot product of vectors is all there ever is.
        query, item = map(float32, _with_biases(query, query_bias, item, item_bias))
        inputs = sources([query, item])
        super().__init__(inputs, ops.sum(query * item, axis=-1), solver, pretrained)
        query_inputs = {name: inputs[name] for name in self.query_names}
        query_tower, item_tower = keras.Model(query_inputs, query), keras.Model(inputs["item"], item)
        every, masked = (
            _of_positions(query_inputs, vectors, item_bias is not None) for vectors in (positions, masked_positions)
        )
        query_view = item_view = None
        if views is not None:
            query_view = keras.Model(query_inputs, [query, float32(views[0])])
            item_view = keras.Model(inputs["item"], [item, float32(views[1])])
        self._networks = _Networks(query_tower, item_tower, every, masked, query_view, item_view)

    @property
    def query_tower(self) -> keras.Model:
        """Query inputs by name to `[batch, dim]` vectors."""
        return self._networks.query

    @property
    def item_tower(self) -> keras.Model:
        """`[n]` items to `[n, dim]` vectors."""
        return self._networks.item

    @property
    def item_network(self) -> keras.Model:
        """The item tower."""
        return self.item_tower

    @property
    def has_positions(self) -> bool:
        """Whether there is a query vector after every event of a history, see `encode_positions`."""
        return self._networks.positions is not None

    @property
    def has_masked_positions(self) -> bool:
        """Whether it fills in hidden items of a history, see `encode_masked_positions`."""
        return self._networks.masked_positions is not None

    @property
    def has_views(self) -> bool:
        """Whether queries and items have second vectors, see `view_queries` and `view_items`."""
        return self._networks.query_view is not None

    @property
    def dim(self) -> int:
        """The width of query and item vectors, biases included."""
        return self.query_tower.output_shape[-1]

    def encode_query(self, query: Mapping[str, Tensor], training: bool = False) -> Tensor:
        """`[batch, dim]` query vectors."""
        return self.query_tower({name: query[name] for name in self.query_names}, training=training)

    def encode_positions(self, query: Mapping[str, Tensor], training: bool = False) -> Tensor:
        """`[batch, length, dim]` query vectors after every event of the history.

        Histories may be shorter than those of queries, as what is only padding may be left out.
        """
        return self._encode_places(self._networks.positions, "positions", query, training)

    def encode_masked_positions(self, query: Mapping[str, Tensor], training: bool = False) -> Tensor:
        """`[batch, length, dim]` query vectors of every place of a history, in which `num_items` hides items.

        Histories may be shorter than those of queries, as what is only padding may be left out.
        """
        return self._encode_places(self._networks.masked_positions, "masked_positions", query, training)

    def _encode_places(
        self, network: keras.Model | None, name: str, query: Mapping[str, Tensor], training: bool
    ) -> Tensor:
        if network is None:
            raise ValueError(f"{self.architecture} has no {name}. Ask `has_{name}` first.")
        return network({name: query[name] for name in self.query_names}, training=training)

    def view_queries(self, query: Mapping[str, Tensor], training: bool = False) -> list[tf.Tensor]:
        """The vectors and second vectors of queries, `[batch, dim]` and `[batch, width]`."""
        assert self._networks.query_view is not None, f"{self.architecture} has no views. Ask `has_views` first."
        return self._networks.query_view({name: query[name] for name in self.query_names}, training=training)

    def view_items(self, items: Tensor, training: bool = False) -> list[tf.Tensor]:
        """The vectors and second vectors of `[n]` items, `[n, dim]` and `[n, width]`."""
        assert self._networks.item_view is not None, f"{self.architecture} has no views. Ask `has_views` first."
        return self._networks.item_view(items, training=training)

    def encode_items(self, items: Tensor, training: bool = False) -> Tensor:
        """`[n, dim]` item vectors of `[n]` items."""
        return self.item_tower(items, training=training)

    def encode_candidates(self, items: Tensor, training: bool = False) -> Tensor:
        """`[batch, candidates, dim]` item vectors of `[batch, candidates]` items."""
        vectors = self.encode_items(tf.reshape(items, [-1]), training=training)
        return tf.reshape(vectors, [tf.shape(items)[0], tf.shape(items)[1], vectors.shape[-1]])

    def encode_catalogue(self) -> list[tf.Tensor]:
        """The item matrix, `[num_items, dim]`."""
        return [self.encode_items(tf.range(self.num_items))]

    def score_encoded(self, query: Encoded, catalogue: Sequence[Tensor], items: Tensor | None = None) -> Tensor:
        """One matrix product with the item matrix, or dot products of each query with its own items."""
        if items is None:
            logits = tf.matmul(query, catalogue[0], transpose_b=True)
        else:
            logits = tf.linalg.matvec(tf.gather(catalogue[0], items), query)
        return self.to_scores(logits)

    def score_items(
        self,
        query: Mapping[str, Tensor],
        items: Tensor,
        catalogue: Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> Tensor:
        """Dot products of each query with its own items."""
        query_vectors = self.encode_query(query, training=training)
        if catalogue is not None:
            return self.score_encoded(query_vectors, catalogue, items)
        vectors = self.encode_candidates(items, training)
        return self.to_scores(tf.linalg.matvec(vectors, query_vectors))

    def score_shared(
        self, query: Mapping[str, Tensor], items: Tensor, own: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """One matrix product of the queries with the shared items."""
        query_vectors = self.encode_query(query, training=training)
        logits = tf.matmul(query_vectors, self.encode_items(items, training=training), transpose_b=True)
        if own is not None:
            vectors = self.encode_candidates(own, training)
            logits = tf.concat([tf.linalg.matvec(vectors, query_vectors), logits], axis=1)
        return self.to_scores(logits)


def _with_biases(
    query: keras.KerasTensor,
    query_bias: keras.KerasTensor | None,
    item: keras.KerasTensor,
    item_bias: keras.KerasTensor | None,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    if query_bias is not None:
        query, item = ops.concatenate([query, query_bias], -1), _append_one(item)
    if item_bias is not None:
        query, item = _append_one(query), ops.concatenate([item, item_bias], -1)
    return query, item


def _append_one(vectors: keras.KerasTensor) -> keras.KerasTensor:
    return ops.concatenate([vectors, ops.ones_like(vectors[..., :1])], -1)


def _of_positions(
    inputs: Mapping[str, keras.KerasTensor], vectors: keras.KerasTensor | None, has_item_bias: bool
) -> keras.Model | None:
    """The network from query inputs to a query vector of every place, whatever the length of the histories."""
    if vectors is None:
        return None
    network = keras.Model(dict(inputs), float32(_append_one(vectors) if has_item_bias else vectors))
    network.input_spec = None
    return network
