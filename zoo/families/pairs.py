"""Pairs: a network over the encoded query and the encoded item."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import keras
import tensorflow as tf
from keras import ops

from zoo.families.base import Recommender
from zoo.families.contracts import Encoded, Pretrained, Solver
from zoo.families.symbolic import float32, listed, sources

if TYPE_CHECKING:
    from zoo.types import Tensor

# How much a pair network reads at once of the whole catalogue: items, and numbers that are repeated for each of them.
ITEMS_AT_ONCE = 1024
NUMBERS_AT_ONCE = 2**19
# A graph has a copy of the network for every such chunk of the catalogue; this is how many layers all have together.
MOST_LAYERS = 640


# One symbolic tensor or several.
Symbolic: TypeAlias = keras.KerasTensor | Sequence[keras.KerasTensor]


@dataclasses.dataclass(frozen=True)
class _Networks:
    """In a plain object, because Keras would count the weights of an attribute of the model a second time."""

    query: keras.Model
    item: keras.Model
    pair: keras.Model
    levels: keras.Model | None
    has_dot: bool


@keras.saving.register_keras_serializable("recozoo")
class Pairs(Recommender):
    """A network over the encoded query and the encoded item.

    Args:
        query: What is encoded of the query: a symbolic tensor `[batch, ...]` or a list of them.
        item: What is encoded of the item: a symbolic tensor `[batch, ...]` or a list of them.
        logit: `[batch, 1]`, made of only `query` and `item`.
        dot: A query vector and an item vector, `[batch, dim]` each, whose dot product is added to the logit.
            Over many items it is one matrix product, which costs far less than a part of the network.
        levels: `[batch, levels]` logits and values of the levels of a rating, made of only `query` and `item`. The
            score is the mean of the values, weighted by the softmax of the logits.
        solver: See `Recommender`.
        pretrained: See `Recommender`.
        resolved: See `Recommender`.
    """

    family: ClassVar[str] = "pairs"

    def __init__(
        self,
        query: Symbolic,
        item: Symbolic,
        logit: keras.KerasTensor,
        dot: tuple[keras.KerasTensor, keras.KerasTensor] | None = None,
        levels: Sequence[keras.KerasTensor] | None = None,
        solver: Solver | None = None,
        pretrained: Pretrained | None = None,
        resolved: Mapping[str, object] | None = None,
    ) -> None:
        query, item = listed(query), listed(item)
        pair = keras.Model([*query, *item], logit)
        of_levels = None if levels is None else keras.Model([*query, *item], list(levels))
        if dot is not None:
            dot = float32(dot[0]), float32(dot[1])
            query, item = [*query, dot[0]], [*item, dot[1]]
            logit = float32(logit) + ops.sum(dot[0] * dot[1], axis=-1, keepdims=True)
        inputs = sources([*query, *item])
        super().__init__(inputs, logit, solver, pretrained, resolved)
        query_network = keras.Model({name: inputs[name] for name in self.query_names}, query)
        item_network = keras.Model(inputs["item"], item)
        self._networks = _Networks(query_network, item_network, pair, of_levels, dot is not None)

    @property
    def query_network(self) -> keras.Model:
        """Query inputs by name to what is encoded of them."""
        return self._networks.query

    @property
    def item_network(self) -> keras.Model:
        """`[n]` items to what is encoded of them."""
        return self._networks.item

    @property
    def pair_network(self) -> keras.Model:
        """What is encoded of queries and of items to `[batch, 1]` logits, without the dot product."""
        return self._networks.pair

    @property
    def has_levels(self) -> bool:
        """Whether scores are means over levels of a rating, see `encode_levels`."""
        return self._networks.levels is not None

    def encode_levels(self, query: Mapping[str, Tensor], items: Tensor, training: bool = False) -> list[tf.Tensor]:
        """The logits and the values of the levels of queries with one item each, `[batch, levels]` each."""
        assert self._networks.levels is not None, f"{self.architecture} has no levels. Ask `has_levels` first."
        encoded = self.encode_query(query, training), listed(self.item_network(items, training=training))
        return self._networks.levels([*encoded[0], *encoded[1]], training=training)

    def encode_query(self, query: Mapping[str, Tensor], training: bool = False) -> list[tf.Tensor]:
        """The encoded queries, `batch` rows each."""
        return listed(self.query_network({name: query[name] for name in self.query_names}, training=training))

    def encode_candidates(self, items: Tensor, training: bool = False) -> list[tf.Tensor]:
        """The encoded items of `[batch, candidates]` items, `[batch, candidates, ...]` each."""
        rows = listed(self.item_network(tf.reshape(items, [-1]), training=training))
        return [tf.reshape(row, tf.concat([tf.shape(items), tf.shape(row)[1:]], 0)) for row in rows]

    def encode_catalogue(self) -> list[tf.Tensor]:
        """The encoded items, `num_items` rows each."""
        return listed(self.item_network(tf.range(self.num_items)))

    def score_encoded(self, query: Encoded, catalogue: Sequence[Tensor], items: Tensor | None = None) -> Tensor:
        """The pair network over every item, some items at a time so that memory stays bounded, or over some items."""
        query = listed(query)
        if items is not None:
            return self._score(query, [tf.gather(rows, items) for rows in catalogue])
        # What is encoded of a query is repeated for each item, and may be a vector for every event of a history.
        of_a_query = sum(math.prod(part.shape[1:]) for part in query)
        most_chunks = max(MOST_LAYERS // len(self.pair_network.operations), 1)
        size = max(min(ITEMS_AT_ONCE, NUMBERS_AT_ONCE // of_a_query), -(-self.num_items // most_chunks), 1)
        chunks: list[Tensor] = []
        for start in range(0, self.num_items, size):
            # Each waits for the one before, because all at once would need the memory of the whole catalogue.
            with tf.control_dependencies(chunks[-1:]):
                chunk = catalogue if size >= self.num_items else [rows[start : start + size] for rows in catalogue]
                chunks.append(self._score(query, chunk, shared=True))
        return tf.concat(chunks, axis=1)

    def score_items(
        self,
        query: Mapping[str, Tensor],
        items: Tensor,
        catalogue: Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> Tensor:
        """The pair network over each query and its own items."""
        encoded = self.encode_query(query, training)
        if catalogue is not None:
            return self.score_encoded(encoded, catalogue, items)
        return self._score(encoded, self.encode_candidates(items, training), training=training)

    def score_shared(
        self, query: Mapping[str, Tensor], items: Tensor, own: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """The pair network over every query and every shared item; each is encoded once."""
        encoded = self.encode_query(query, training)
        rows = listed(self.item_network(items, training=training))
        scores = self._score(encoded, rows, shared=True, training=training)
        if own is None:
            return scores
        return tf.concat([self._score(encoded, self.encode_candidates(own, training), training=training), scores], 1)

    def _score(
        self, query: Sequence[Tensor], candidates: Sequence[Tensor], shared: bool = False, training: bool = False
    ) -> Tensor:
        """Every query with its own candidates, `[batch, number, ...]`, or with all shared ones, `[number, ...]`."""
        first = 0 if shared else 1
        batch, number = tf.shape(query[0])[0], tf.shape(candidates[0])[first]
        dots: Tensor | float = 0.0
        if self._networks.has_dot:
            *query, vectors = query
            *candidates, items = candidates
            dots = _dots(vectors, items, shared)
        queries = [_of_pairs(part[:, None], batch, number, tf.shape(part)[1:]) for part in query]
        items = [_of_pairs(part, batch, number, tf.shape(part)[first + 1 :]) for part in candidates]
        logits = tf.reshape(self.pair_network([*queries, *items], training=training), [batch, number])
        return self.to_scores(tf.cast(logits, tf.float32) + dots)


def _dots(vectors: Tensor, items: Tensor, shared: bool) -> Tensor:
    """Dot products of every `[batch, dim]` vector with the items of its row, or with all shared ones."""
    if shared:
        return tf.matmul(vectors, items, transpose_b=True)
    return tf.reduce_sum(vectors[:, None] * items, axis=-1)


def _of_pairs(part: Tensor, batch: Tensor, number: Tensor, shape: Tensor) -> Tensor:
    """What queries or candidates have, once a pair: `[batch * number, *shape]`."""
    pairs = tf.broadcast_to(part, tf.concat([[batch, number], shape], 0))
    return tf.reshape(pairs, tf.concat([[-1], shape], 0))
