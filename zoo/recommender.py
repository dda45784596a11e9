"""A recommender answers one question: given a query, how good is each item? Three families answer it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf
from keras import ops

from zoo.arrays import load_arrays, save_arrays
from zoo.errors import UserError
from zoo.layers import CatalogueRows, InteractionRows
from zoo.layers.language import Texts
from zoo.schema import FIRST_KNOWN, PADDING, Schema
from zoo.top_k import (
    NO_ITEM_SCORE,
    USUAL_EXCLUDED,
    best_of_catalogue,
    best_of_pool,
    group_size,
    overwrite_excluded,
)

# How much a pair network meets at once of the whole catalogue: items, and numbers that are repeated for each of them.
ITEMS_AT_ONCE = 1024
NUMBERS_AT_ONCE = 2**19
# A graph has a copy of the network for every such chunk of the catalogue; this is how many layers all have together.
MOST_LAYERS = 640

WEIGHTS = "weights.npz"

# Lists of item indices, of any batch size and any length.
LIST = tf.TensorSpec((None, None), tf.int32)

ClosedForm = Callable[[scipy.sparse.csr_matrix], None]
Pretrained = Callable[[Mapping[str, "Recommender"]], None]
SetTexts = Callable[[Texts], None]


class Recommender(keras.Model):
    """What every architecture becomes: a Keras model of (query, item) to a logit, and a ranker.

    Called as a Keras model it takes a dictionary of the query inputs and `item`, and gives `[batch]`
    scores. Subclasses say how the whole catalogue is scored. All ids are indices.

    Args:
        inputs: Symbolic inputs by name, `item` among them.
        logit: `[batch, 1]` or `[batch]` symbolic logit of the pairs.
        closed_form: For architectures without gradient steps: sets the weights from the training
            interactions, a sparse `[users, items]` matrix of labels.
        pretrained: For architectures that can start from others: sets the weights from trained
            recommenders by the names of their architectures.
    """

    def __init__(
        self,
        inputs: dict[str, Any],
        logit: Any,
        closed_form: ClosedForm | None = None,
        pretrained: Pretrained | None = None,
    ) -> None:
        # Scores are float32 whatever the layers before them compute in.
        rating_scale = RatingScale(name="rating_scale", dtype="float32")
        score = rating_scale(keras.layers.Reshape(())(logit) if len(logit.shape) > 1 else logit)
        super().__init__(inputs=inputs, outputs=score)
        # A plain namespace, so that Keras does not count the weights of these parts a second time.
        self.parts = SimpleNamespace(
            rating_scale=rating_scale,
            closed_form=closed_form,
            pretrained=pretrained,
            texts=None,
            resolved={},
            compiled={},
        )
        self.query_names = [name for name in inputs if name != "item"]

    def describe(self, name: str, hparams: Mapping[str, Any], schema: Schema) -> None:
        """Notes the recipe: the name, hparams and schema this was built from."""
        self.architecture, self.hparams, self.schema = name, {**hparams, **self.parts.resolved}, schema
        # Endpoint inputs come in the schema's order in every format.
        self.query_names = [feature.name for feature in schema if feature.name in self.query_names]

    @property
    def recipe(self) -> dict[str, Any]:
        """What builds this model again, JSON-ready."""
        hparams = json.loads(json.dumps(self.hparams))
        return {"name": self.architecture, "hparams": hparams, "schema": self.schema.to_json()}

    @property
    def num_items(self) -> int:
        """Rows of the item table, padding and unknown included."""
        return self.schema.size("item")

    @property
    def closed_form(self) -> ClosedForm | None:
        """What sets the weights of an architecture that is not trained by gradient steps."""
        return self.parts.closed_form

    @property
    def pretrained(self) -> Pretrained | None:
        """What sets the weights from trained recommenders, where an architecture can start from others."""
        return self.parts.pretrained

    def set_catalogue(self, items: Mapping[str, np.ndarray]) -> None:
        """Puts encoded item features into the model.

        Args:
            items: `[num_items, *feature.shape]` arrays by feature name.
        """
        for layer in self._flatten_layers():
            if isinstance(layer, CatalogueRows):
                layer.rows.assign(items[layer.feature_name])

    @property
    def reads_interactions(self) -> bool:
        """Whether an item is known by who met it, so that `set_interactions` is to be called before training."""
        return any(isinstance(layer, InteractionRows) for layer in self._flatten_layers())

    def set_interactions(self, interactions: scipy.sparse.csr_matrix) -> None:
        """Puts the training interactions into the model, where an architecture reads them.

        Args:
            interactions: `[num_users, num_items]` labels above 0.
        """
        for layer in self._flatten_layers():
            if isinstance(layer, InteractionRows):
                layer.set(interactions)

    def set_rating_scale(self, mean: float, std: float) -> None:
        """Makes scores ratings: `mean + std * logit`. Before that, a score is the logit itself."""
        self.parts.rating_scale.set(mean, std)

    @property
    def scores_are_ratings(self) -> bool:
        """Whether `set_rating_scale` was called, so that scores are in the unit of the ratings."""
        return float(self.parts.rating_scale.is_set.numpy()) > 0

    @property
    def rating_scale(self) -> tuple[float, float]:
        """The mean and the spread of the ratings: a score is `mean + std * logit`."""
        return float(self.parts.rating_scale.mean.numpy()), float(self.parts.rating_scale.std.numpy())

    @property
    def set_texts(self) -> SetTexts | None:
        """What puts the words of the data into an architecture that reads words; to be called before training."""
        return self.parts.texts

    # What a family defines. `catalogue` is what `encode_catalogue` gave; encoding it once serves many queries.

    def encode_catalogue(self) -> list[Any]:
        """What is known of every item before a query comes: tensors of `num_items` rows."""
        raise NotImplementedError

    def encode_query(self, query: Mapping[str, Any], training: bool = False) -> Any:
        """What is made of a query before an item comes: tensors of `batch` rows."""
        raise NotImplementedError

    def score_encoded(self, query: Any, catalogue: list[Any], items: Any | None = None) -> Any:
        """Scores of encoded queries, as a graph operation.

        Args:
            query: What `encode_query` gave.
            catalogue: What `encode_catalogue` gave.
            items: `[batch, candidates]` items; by default the whole catalogue.

        Returns:
            `[batch, num_items]` or `[batch, candidates]` scores.
        """
        raise NotImplementedError

    def score_catalogue(self, query: Mapping[str, Any], catalogue: list[Any]) -> Any:
        """`[batch, num_items]` scores, as a graph operation."""
        return self.score_encoded(self.encode_query(query), catalogue)

    def score_items(
        self, query: Mapping[str, Any], items: Any, catalogue: list[Any] | None = None, training: bool = False
    ) -> Any:
        """`[batch, candidates]` scores of `[batch, candidates]` items, as a graph operation."""
        raise NotImplementedError

    def score_shared(self, query: Mapping[str, Any], items: Any, own: Any | None = None, training: bool = False) -> Any:
        """Scores every query with the same items, as a graph operation.

        Args:
            query: One tensor an input of `query_names`, `[batch, ...]`.
            items: `[n]` item indices that all queries share.
            own: `[batch, m]` items of each query's own, scored beside them, so that queries are encoded once.
            training: Whether layers such as dropout are on.

        Returns:
            `[batch, n]` scores, or `[batch, m + n]` with those of `own` first.
        """
        raise NotImplementedError

    # What callers use.

    def score(self, query: Mapping[str, Any], items: Any) -> np.ndarray:
        """Scores items for queries.

        Args:
            query: One array an input of `query_names`, `[batch, ...]`.
            items: Item indices, `[batch]` or `[batch, candidates]`.

        Returns:
            float32 scores of the shape of `items`.
        """
        items = np.asarray(items, np.int32)
        pairs = items if items.ndim == 2 else items[:, None]
        score = self._compiled("score", self.score_items, [self._query_spec(), LIST])
        scores = score(self._tensors(query), tf.constant(pairs))
        return scores.numpy().reshape(items.shape)

    def recommend(
        self,
        query: Mapping[str, Any],
        k: int = 10,
        exclude: Any | None = None,
        candidates: Any | None = None,
        catalogue: list[Any] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items for each query.

        Args:
            query: One array an input of `query_names`, `[batch, ...]`.
            k: How many items, at most the size of the catalogue.
            exclude: `[batch, n]` item indices never to return, padded with 0.
            candidates: `[batch, n]` item indices to choose from, padded with 0; a row of zeros, or
                `None`, means the whole catalogue.
            catalogue: What `encode_catalogue` gave, to serve many calls.

        Returns:
            Items (int32) and scores (float32), both `[batch, k]`, best first. Where fewer than `k`
            items are left, item 0 with the score `NO_ITEM_SCORE`.

        Raises:
            UserError: If `k` is below 1 or larger than the catalogue.
        """
        check_k(k, self.num_items)
        query = self._tensors(query)
        size = next(iter(query.values())).shape[0]
        exclude = tf.constant(np.zeros((size, 0)) if exclude is None else exclude, tf.int32)
        catalogue = self.encode_catalogue() if catalogue is None else catalogue
        rows = [tf.TensorSpec(part.shape, part.dtype) for part in catalogue]
        if candidates is None:
            rank = self._compiled(f"recommend {k}", partial(self._rank_all, k), [self._query_spec(), LIST, rows])
            items, scores = rank(query, exclude, catalogue)
        else:
            signature = [self._query_spec(), LIST, LIST, rows]
            rank = self._compiled(f"recommend {k} candidates", partial(self.rank, k), signature)
            items, scores = rank(query, exclude, tf.constant(candidates, tf.int32), catalogue)
        return items.numpy(), scores.numpy()

    def rank(
        self,
        k: int,
        query: Mapping[str, Any],
        exclude: Any,
        candidates: Any,
        catalogue: list[Any],
        offered: Any | None = None,
    ) -> tuple[Any, Any]:
        """`recommend` as a graph operation that every export format has.

        The best of the catalogue and the candidates are put into one pool, from which what is excluded is
        dropped. As many more of the catalogue are taken as may be dropped.

        Args:
            k: How many items.
            query: One tensor an input of `query_names`, `[batch, ...]`.
            exclude: `[batch, n]` item indices never to return, padded with 0.
            candidates: `[batch, m]` item indices to choose from, padded with 0; a row of zeros means all.
            catalogue: What `encode_catalogue` gave.
            offered: `[num_items]` bool, false for items never to return; by default all may be.

        Returns:
            Items and scores, `[batch, k]`.
        """
        # One more column of padding, for LiteRT has no lists without any.
        candidates = tf.pad(candidates, [[0, 0], [0, 1]])
        has_candidates = tf.reduce_max(candidates, axis=1, keepdims=True) > 0
        encoded = self.encode_query(query)
        every, some = self.score_encoded(encoded, catalogue), self.score_encoded(encoded, catalogue, candidates)
        if offered is not None:
            every = tf.where(offered, every, NO_ITEM_SCORE)
            candidates = tf.where(tf.gather(offered, candidates), candidates, PADDING)
        # Two more, for padding and the unknown item are never returned.
        enough = tf.minimum(k + tf.shape(exclude)[1] + FIRST_KNOWN, self.num_items)
        group = group_size(k + USUAL_EXCLUDED, self.num_items)
        best_scores, best = best_of_catalogue(every, enough, self.num_items, group)
        best = tf.where(has_candidates, PADDING, best)
        items, scores = tf.concat([best, candidates], axis=1), tf.concat([best_scores, some], axis=1)
        return best_of_pool(items, scores, exclude, k)

    def _rank_all(self, k: int, query: Mapping[str, Any], exclude: Any, catalogue: list[Any]) -> Any:
        """What `rank` gives without candidates, in less time where the batch is large."""
        scores = overwrite_excluded(self.score_catalogue(query, catalogue), exclude)
        scores, items = best_of_catalogue(scores, k, self.num_items, group_size(k, self.num_items))
        return tf.where(scores > NO_ITEM_SCORE, items, PADDING), scores

    def _tensors(self, query: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        missing = [name for name in self.query_names if name not in query]
        if missing:
            raise UserError(
                f"{self.architecture} needs the query inputs {self.query_names}. Missing: {', '.join(missing)}."
            )
        return {name: tf.constant(query[name], self.schema[name].dtype) for name in self.query_names}

    def _query_spec(self) -> dict[str, tf.TensorSpec]:
        features = [self.schema[name] for name in self.query_names]
        return {feature.name: tf.TensorSpec((None, *feature.shape), feature.dtype) for feature in features}

    def _compiled(self, name: str, function: Callable[..., Any], signature: list[Any]) -> Callable[..., Any]:
        if name not in self.parts.compiled:
            # Wrapped, for a function with a signature cannot be a bound method of a Keras model.
            compiled = tf.function(lambda *given: function(*given), input_signature=signature, autograph=False)
            self.parts.compiled[name] = compiled
        return self.parts.compiled[name]

    def save_to(self, folder: Path) -> None:
        """Writes `recipe.json` and `weights.npz` into an existing folder."""
        recipe = json.dumps(self.recipe, indent=2, ensure_ascii=False)
        (folder / "recipe.json").write_text(recipe, encoding="utf-8")
        # In the order they were made in, which the recipe repeats; names would depend on what was built before.
        weights = {f"{index:04d}": value for index, value in enumerate(self.get_weights())}
        save_arrays(folder / WEIGHTS, weights, compressed=False)

    @staticmethod
    def load_from(folder: Path) -> Recommender:
        """The recommender that `save_to` wrote. Raises a `UserError` if its architecture has changed since."""
        from zoo.registry import build

        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        model = build(recipe["name"], Schema.from_json(recipe["schema"]), **recipe["hparams"])
        weights = list(load_arrays(folder / WEIGHTS).values())
        if [weight.shape for weight in weights] != [tuple(weight.shape) for weight in model.weights]:
            raise UserError(
                f"{folder}: its weights do not fit the architecture {recipe['name']!r} as it is now, "
                "so it was changed since. Train anew, or use the version that made the run."
            )
        model.set_weights(weights)
        return model


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
        query, item = map(_float32, _with_biases(query, query_bias, item, item_bias))
        inputs = _sources([query, item])
        super().__init__(inputs, ops.sum(query * item, axis=-1), closed_form, pretrained)
        query_inputs = {name: inputs[name] for name in self.query_names}
        self.parts.query = keras.Model(query_inputs, query)
        self.parts.item = keras.Model(inputs["item"], item)
        if positions is not None:
            positions = positions if item_bias is None else _append_one(positions)
            self.parts.positions = keras.Model(query_inputs, _float32(positions))

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


class Pairs(Recommender):
    """A network over the encoded query and the encoded item.

    Args:
        query: What is encoded of the query: a symbolic tensor `[batch, ...]` or a list of them.
        item: What is encoded of the item: a symbolic tensor `[batch, ...]` or a list of them.
        logit: `[batch, 1]`, made of `query` and `item` and nothing else.
        dot: A query vector and an item vector, `[batch, dim]` each, whose dot product is added to the logit.
            Over many items it is one matrix product, which costs far less than a part of the network.
        closed_form: See `Recommender`.
        pretrained: See `Recommender`.
        texts: For architectures that read words: sets the weights that hold them from the texts of the data.
        resolved: Hparams as the recipe is to have them, where what was given names something outside of it.
    """

    def __init__(
        self,
        query: Any,
        item: Any,
        logit: Any,
        dot: tuple[Any, Any] | None = None,
        closed_form: ClosedForm | None = None,
        pretrained: Pretrained | None = None,
        texts: SetTexts | None = None,
        resolved: Mapping[str, Any] | None = None,
    ) -> None:
        query, item = _listed(query), _listed(item)
        pair = keras.Model([*query, *item], logit)
        if dot is not None:
            dot = _float32(dot[0]), _float32(dot[1])
            query, item = [*query, dot[0]], [*item, dot[1]]
            logit = _float32(logit) + ops.sum(dot[0] * dot[1], axis=-1, keepdims=True)
        inputs = _sources([*query, *item])
        super().__init__(inputs, logit, closed_form, pretrained)
        self.parts.pair, self.parts.has_dot = pair, dot is not None
        self.parts.texts, self.parts.resolved = texts, dict(resolved or {})
        self.parts.query = keras.Model({name: inputs[name] for name in self.query_names}, query)
        self.parts.item = keras.Model(inputs["item"], item)

    def encode_query(self, query: Mapping[str, Any], training: bool = False) -> list[Any]:
        """The encoded queries, `batch` rows each."""
        return _listed(self.parts.query({name: query[name] for name in self.query_names}, training=training))

    def encode_candidates(self, items: Any, training: bool = False) -> list[Any]:
        """The encoded items of `[batch, candidates]` items, `[batch, candidates, ...]` each."""
        rows = _listed(self.parts.item(tf.reshape(items, [-1]), training=training))
        return [tf.reshape(row, tf.concat([tf.shape(items), tf.shape(row)[1:]], 0)) for row in rows]

    def encode_catalogue(self) -> list[Any]:
        """The encoded items, `num_items` rows each."""
        return _listed(self.parts.item(tf.range(self.num_items)))

    def score_encoded(self, query: Any, catalogue: list[Any], items: Any | None = None) -> Any:
        """The pair network over every item, some items at a time so that memory stays bounded, or over some items."""
        if items is not None:
            return self._score(query, [tf.gather(rows, items) for rows in catalogue])
        # What is encoded of a query is repeated for each item, and may be a vector for every event of a history.
        of_a_query = sum(math.prod(part.shape[1:]) for part in query)
        most_chunks = max(MOST_LAYERS // len(self.parts.pair.operations), 1)
        size = max(min(ITEMS_AT_ONCE, NUMBERS_AT_ONCE // of_a_query), -(-self.num_items // most_chunks), 1)
        chunks: list[Any] = []
        for start in range(0, self.num_items, size):
            # Each waits for the one before, for all at once would need the memory of the whole catalogue.
            with tf.control_dependencies(chunks[-1:]):
                chunk = catalogue if size >= self.num_items else [rows[start : start + size] for rows in catalogue]
                chunks.append(self._score(query, chunk, shared=True))
        return tf.concat(chunks, axis=1)

    def score_items(
        self, query: Mapping[str, Any], items: Any, catalogue: list[Any] | None = None, training: bool = False
    ) -> Any:
        """The pair network over each query and its own items."""
        encoded = self.encode_query(query, training)
        if catalogue is not None:
            return self.score_encoded(encoded, catalogue, items)
        return self._score(encoded, self.encode_candidates(items, training), training=training)

    def score_shared(self, query: Mapping[str, Any], items: Any, own: Any | None = None, training: bool = False) -> Any:
        """The pair network over every query and every shared item; each is encoded once."""
        encoded = self.encode_query(query, training)
        rows = _listed(self.parts.item(items, training=training))
        scores = self._score(encoded, rows, shared=True, training=training)
        if own is None:
            return scores
        return tf.concat([self._score(encoded, self.encode_candidates(own, training), training=training), scores], 1)

    def _score(self, query: list[Any], candidates: list[Any], shared: bool = False, training: bool = False) -> Any:
        """Every query with its own candidates, `[batch, number, ...]`, or with all shared ones, `[number, ...]`."""
        first = 0 if shared else 1
        batch, number = tf.shape(query[0])[0], tf.shape(candidates[0])[first]
        dots: Any = 0.0
        if self.parts.has_dot:
            *query, vectors = query
            *candidates, items = candidates
            dots = _dots(vectors, items, shared)
        queries = [_of_pairs(part[:, None], batch, number, tf.shape(part)[1:]) for part in query]
        items = [_of_pairs(part, batch, number, tf.shape(part)[first + 1 :]) for part in candidates]
        logits = tf.reshape(self.parts.pair([*queries, *items], training=training), [batch, number])
        return self.parts.rating_scale(tf.cast(logits, tf.float32) + dots)


class Catalogue(Recommender):
    """A query to one logit an item of the catalogue.

    Args:
        logits: `[batch, num_items]` symbolic logits, columns in index order, padding and unknown included.
        closed_form: See `Recommender`.
        pretrained: See `Recommender`.
    """

    def __init__(
        self, logits: Any, closed_form: ClosedForm | None = None, pretrained: Pretrained | None = None
    ) -> None:
        logits = _float32(logits)
        inputs = _sources([logits])
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


class RatingScale(keras.layers.Layer):
    """`mean + std * logit`: the identity, until the labels are ratings and their mean and spread are set."""

    def build(self, input_shape: Any) -> None:
        """Makes the numbers, which are not trained."""
        self.mean = self.add_weight(name="mean", shape=(), initializer="zeros", trainable=False)
        self.std = self.add_weight(name="std", shape=(), initializer="ones", trainable=False)
        self.is_set = self.add_weight(name="is_set", shape=(), initializer="zeros", trainable=False)

    def set(self, mean: float, std: float) -> None:
        """Sets the mean and the spread of the ratings."""
        self.mean.assign(mean)
        self.std.assign(std)
        self.is_set.assign(1.0)

    def call(self, logits: Any) -> Any:
        """The scores, in the unit of the labels."""
        return logits * self.std + self.mean


def check_k(k: int, num_items: int) -> None:
    """Raises a `UserError` unless `k` items can be recommended."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise UserError(f"k must be an integer. Received: {k!r}.")
    if not 1 <= k <= num_items - FIRST_KNOWN:
        raise UserError(f"k must be between 1 and the {num_items - FIRST_KNOWN} items of the catalogue. Received: {k}.")


def _sources(tensors: list[Any]) -> dict[str, Any]:
    """The named inputs that symbolic tensors were made from."""
    return {source.name: source for tensor in tensors for source in keras.utils.get_source_inputs(tensor)}


def _listed(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def _with_biases(query: Any, query_bias: Any | None, item: Any, item_bias: Any | None) -> tuple[Any, Any]:
    if query_bias is not None:
        query, item = ops.concatenate([query, query_bias], -1), _append_one(item)
    if item_bias is not None:
        query, item = _append_one(query), ops.concatenate([item, item_bias], -1)
    return query, item


def _float32(tensor: Any) -> Any:
    return tensor if tensor.dtype == "float32" else ops.cast(tensor, "float32")


def _append_one(vectors: Any) -> Any:
    return ops.concatenate([vectors, ops.ones_like(vectors[..., :1])], -1)


def _dots(vectors: Any, items: Any, shared: bool) -> Any:
    """Dot products of every `[batch, dim]` vector with the items of its row, or with all shared ones."""
    if shared:
        return tf.matmul(vectors, items, transpose_b=True)
    return tf.reduce_sum(vectors[:, None] * items, axis=-1)


def _of_pairs(part: Any, batch: Any, number: Any, shape: Any) -> Any:
    """What queries or candidates have, once a pair: `[batch * number, *shape]`."""
    pairs = tf.broadcast_to(part, tf.concat([[batch, number], shape], 0))
    return tf.reshape(pairs, tf.concat([[-1], shape], 0))
