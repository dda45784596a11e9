"""A recommender answers one question: given a query, how good is each item? Three families answer it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf
from keras import ops

from zoo.errors import UserError
from zoo.families.top_k import (
    NO_ITEM_SCORE,
    USUAL_EXCLUDED,
    best_of_catalogue,
    best_of_pool,
    group_size,
    overwrite_excluded,
)
from zoo.layers import CatalogueRows, InteractionRows
from zoo.layers.language import Texts
from zoo.schema import FIRST_KNOWN, PADDING, Schema

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


def sources(tensors: list[Any]) -> dict[str, Any]:
    """The named inputs that symbolic tensors were made from."""
    return {source.name: source for tensor in tensors for source in keras.utils.get_source_inputs(tensor)}


def listed(tensors: Any) -> list[Any]:
    """One tensor or several, as a list."""
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def float32(tensor: Any) -> Any:
    """The tensor in float32."""
    return tensor if tensor.dtype == "float32" else ops.cast(tensor, "float32")
