"""A recommender answers one question: given a query, how good is each item? Three families answer it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf
from numpy.typing import ArrayLike

from zoo.errors import UserError
from zoo.families.blocks import in_blocks, numbers_made
from zoo.families.checks import check_k
from zoo.families.contracts import LIST, Encoded, Pretrained, Recipe, Solver, Work, derived_notes
from zoo.families.top_k import (
    NO_ITEM_SCORE,
    USUAL_EXCLUDED,
    best_of_catalogue,
    best_of_pool,
    group_size,
    overwrite_excluded,
)
from zoo.layers.data import data_layers
from zoo.layers.prompts import Texts
from zoo.layers.rating_scale import RatingScale
from zoo.schema import FIRST_KNOWN, PADDING, Schema

if TYPE_CHECKING:
    from zoo.types import Tensor


@dataclasses.dataclass(frozen=True)
class _Untracked:
    """What Keras must not track as attributes of the model: it would count these weights a second time."""

    rating_scale: RatingScale
    resolved: Mapping[str, object]
    work: Work | None
    compiled: dict[str, Callable[..., tuple[tf.Tensor, ...] | tf.Tensor]] = dataclasses.field(default_factory=dict)


class Recommender(keras.Model):
    """What every architecture becomes: a Keras model of (query, item) to a logit, and a ranker.

    A call takes a dictionary of the query inputs and `item`, and gives `[batch]` scores. All ids are indices.

    Args:
        inputs: Symbolic inputs by name, `item` among them.
        logit: `[batch, 1]` or `[batch]` symbolic logit of the pairs.
        solver: Sets the weights from the training interactions, a sparse `[num_users, num_items]` matrix of labels.
            Only for architectures that take no gradient steps. The hparams that it gives take the place of those that
            were left open, so that the recipe has them.
        pretrained: Sets the weights from trained recommenders, by the names of their architectures. Only for
            architectures that can start from others.
        resolved: Hparams as the recipe must have them, where a given one names something outside of the recipe.
        work: How many numbers are made of each query beside its scores, given the histories. Queries are ranked in
            blocks that keep them in bounds.

    Attributes:
        family: The name of the family.
        architecture: The name of the architecture.
        hparams: All hparams by name.
        schema: The schema of the data.
        query_names: The names of the query inputs, in the order of the schema.
        solver: As given.
        pretrained: As given.
        notes: What the solver derived, in words.
    """

    family: ClassVar[str]
    # Builds a recipe. `zoo.saving` sets it, because families know no registry of architectures.
    rebuild: ClassVar[Callable[[Recipe], Recommender]]

    def __init__(
        self,
        inputs: dict[str, keras.KerasTensor],
        logit: keras.KerasTensor,
        solver: Solver | None = None,
        pretrained: Pretrained | None = None,
        resolved: Mapping[str, object] | None = None,
        work: Work | None = None,
    ) -> None:
        # Scores are float32 whatever the layers before them compute in.
        rating_scale = RatingScale(name="rating_scale", dtype="float32")
        score = rating_scale(keras.layers.Reshape(())(logit) if len(logit.shape) > 1 else logit)
        super().__init__(inputs=inputs, outputs=score)
        self._untracked = _Untracked(rating_scale, resolved or {}, work)
        self.solver = None if solver is None else partial(self._solve, solver)
        self.pretrained, self.notes = pretrained, list[str]()
        self.query_names = [name for name in inputs if name != "item"]

    def describe(self, name: str, hparams: Mapping[str, Any], schema: Schema) -> None:
        """Notes the recipe: the name, hparams and schema this was built from."""
        self.architecture, self.hparams, self.schema = name, {**hparams, **self._untracked.resolved}, schema
        # Endpoint inputs come in the schema's order in every format.
        self.query_names = [feature.name for feature in schema if feature.name in self.query_names]

    @property
    def recipe(self) -> Recipe:
        """What builds this model again, JSON-ready."""
        hparams = json.loads(json.dumps(self.hparams))
        return {"name": self.architecture, "hparams": hparams, "schema": self.schema.to_json()}

    def get_config(self) -> dict[str, object]:
        """The recipe, from which `keras.saving.load_model` builds the model again."""
        return dict(self.recipe)

    @classmethod
    def from_config(cls, config: Recipe, custom_objects: Mapping[str, object] | None = None) -> Recommender:
        """Builds the architecture that a recipe describes.

        Args:
            config: The recipe, as `get_config` gives it.
            custom_objects: Those of Keras. A recipe needs none.

        Returns:
            A recommender without what was trained.

        Example:

        >>> import zoo.saving
        >>> model = zoo.build("mf", num_users=5, num_items=7, embedding_dim=4)
        >>> type(model).from_config(model.get_config()).recipe == model.recipe
        True
        """
        return cls.rebuild(config)

    @property
    def num_items(self) -> int:
        """Rows of the item table, padding and unknown included."""
        return self.schema.size("item")

    @property
    def item_network(self) -> keras.Model | None:
        """The part of the model that reads an item by itself, if there is one."""
        return None

    def adapt(
        self,
        items: Mapping[str, np.ndarray] | None = None,
        interactions: Callable[[], scipy.sparse.csr_matrix] | None = None,
        texts: Callable[[], Texts] | None = None,
        ratings: Callable[[], scipy.sparse.csr_matrix] | None = None,
    ) -> None:
        """Puts data into the layers that hold some of it, like `adapt` of the preprocessing layers of Keras.

        What is not given stays as it is. A function is called once, and only if a layer wants what it gives.

        Args:
            items: The encoded item table: `[num_items, *feature.shape]` arrays by the name of a feature.
            interactions: Gives the training interactions, `[num_users, num_items]` labels above 0.
            texts: Gives the words of the data.
            ratings: Gives all training labels, `[num_users, num_items]`, those of 0 and below among them.

        Example:

        >>> import zoo
        >>> from zoo.data import load_dataset
        >>> data = load_dataset("synthetic", num_users=20, num_items=40, num_interactions=200)
        >>> model = zoo.build("two_tower", data.schema)
        >>> model.adapt(items=data.items)
        """
        functions = {"interactions": interactions, "ratings": ratings, "texts": texts}
        made: dict[str, object] = {} if items is None else {"items": items}
        for layer in data_layers(self):
            function = functions.get(layer.source)
            if function is not None and layer.source not in made:
                made[layer.source] = function()
            if layer.source in made:
                layer.adapt(made[layer.source])

    def _solve(self, solver: Solver, interactions: scipy.sparse.csr_matrix) -> None:
        derived = solver(interactions) or {}
        self.notes = derived_notes(self.hparams, derived)
        self.hparams = {**self.hparams, **derived}
        if self.notes:  # What was compiled read other hparams.
            self._untracked.compiled.clear()

    def to_scores(self, logits: Tensor) -> Tensor:
        """Scores in the unit of the labels, of logits of any shape."""
        return self._untracked.rating_scale(logits)

    def set_rating_scale(self, mean: float, std: float) -> None:
        """Makes scores ratings: `mean + std * logit`. Before that, a score is the logit itself."""
        self._untracked.rating_scale.set(mean, std)

    @property
    def scores_are_ratings(self) -> bool:
        """Whether `set_rating_scale` was called, so that scores are in the unit of the ratings."""
        return float(self._untracked.rating_scale.is_set.numpy()) > 0

    @property
    def rating_scale(self) -> tuple[float, float]:
        """The mean and the spread of the ratings: a score is `mean + std * logit`."""
        scale = self._untracked.rating_scale
        return float(scale.mean.numpy()), float(scale.std.numpy())

    # What a family defines. `catalogue` is what `encode_catalogue` gave; encoding it once serves many queries.

    def encode_catalogue(self) -> list[tf.Tensor]:
        """What is known of every item before a query comes: tensors of `num_items` rows."""
        raise NotImplementedError

    def encode_query(self, query: Mapping[str, Tensor], training: bool = False) -> Encoded:
        """What is made of a query before an item comes: tensors of `batch` rows."""
        raise NotImplementedError

    def score_encoded(self, query: Encoded, catalogue: Sequence[Tensor], items: Tensor | None = None) -> Tensor:
        """Scores of encoded queries, as a graph operation.

        Args:
            query: What `encode_query` gave.
            catalogue: What `encode_catalogue` gave.
            items: `[batch, candidates]` items; by default the whole catalogue.

        Returns:
            `[batch, num_items]` or `[batch, candidates]` scores.
        """
        raise NotImplementedError

    def score_catalogue(self, query: Mapping[str, Tensor], catalogue: Sequence[Tensor]) -> Tensor:
        """`[batch, num_items]` scores, as a graph operation."""
        return self.score_encoded(self.encode_query(query), catalogue)

    def score_items(
        self,
        query: Mapping[str, Tensor],
        items: Tensor,
        catalogue: Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> Tensor:
        """`[batch, candidates]` scores of `[batch, candidates]` items, as a graph operation."""
        raise NotImplementedError

    def score_shared(
        self, query: Mapping[str, Tensor], items: Tensor, own: Tensor | None = None, training: bool = False
    ) -> Tensor:
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

    def score(self, query: Mapping[str, ArrayLike], items: ArrayLike) -> np.ndarray:
        """Scores items for queries.

        Args:
            query: One array an input of `query_names`, `[batch, ...]`.
            items: Item indices, `[batch]` or `[batch, candidates]`.

        Returns:
            float32 scores of the shape of `items`.

        Example:

        >>> import zoo
        >>> model = zoo.build("mf", num_users=5, num_items=7)
        >>> model.score({"user": [2, 3]}, [[4, 5, 6], [4, 5, 6]]).shape
        (2, 3)
        """
        items = np.asarray(items, np.int32)
        pairs = items if items.ndim == 2 else items[:, None]
        score = self._compiled("score", self.score_items, [self._query_spec(), LIST])
        tensors = self._tensors(query)
        numbers = numbers_made(pairs.shape[1], tensors, self._untracked.work)
        (scores,) = in_blocks(lambda *given: [score(*given)], tensors, [tf.constant(pairs)], numbers)
        return scores.reshape(items.shape)

    def recommend(
        self,
        query: Mapping[str, ArrayLike],
        k: int = 10,
        exclude: ArrayLike | None = None,
        candidates: ArrayLike | None = None,
        catalogue: Sequence[tf.Tensor] | None = None,
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

        Example:

        >>> import zoo
        >>> model = zoo.build("mf", num_users=5, num_items=7)
        >>> items, scores = model.recommend({"user": [2, 3]}, k=4)
        >>> items.shape
        (2, 4)
        """
        check_k(k, self.num_items)
        tensors = self._tensors(query)
        size = next(iter(tensors.values())).shape[0]
        lists = [np.zeros((size, 0)) if exclude is None else exclude, *([] if candidates is None else [candidates])]
        chosen = [tf.constant(one, tf.int32) for one in lists]
        catalogue = self.encode_catalogue() if catalogue is None else list(catalogue)
        rows = [tf.TensorSpec(part.shape, part.dtype) for part in catalogue]
        name, function = ("", self._rank_all) if candidates is None else (" candidates", self.rank)
        rank = self._compiled(
            f"recommend {k}{name}", partial(function, k), [self._query_spec(), *[LIST] * len(chosen), rows]
        )
        numbers = numbers_made(self.num_items, tensors, self._untracked.work)
        items, scores = in_blocks(lambda *given: rank(*given, catalogue), tensors, chosen, numbers)
        return items, scores

    def rank(
        self,
        k: int,
        query: Mapping[str, Tensor],
        exclude: Tensor,
        candidates: Tensor,
        catalogue: Sequence[Tensor],
        offered: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
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
        # One more column of padding, because LiteRT has no lists without any.
        candidates = tf.pad(candidates, [[0, 0], [0, 1]])
        has_candidates = tf.reduce_max(candidates, axis=1, keepdims=True) > 0
        encoded = self.encode_query(query)
        every, some = self.score_encoded(encoded, catalogue), self.score_encoded(encoded, catalogue, candidates)
        if offered is not None:
            every = tf.where(offered, every, NO_ITEM_SCORE)
            candidates = tf.where(tf.gather(offered, candidates), candidates, PADDING)
        # Two more, because padding and the unknown item are never returned.
        enough = tf.minimum(k + tf.shape(exclude)[1] + FIRST_KNOWN, self.num_items)
        group = group_size(k + USUAL_EXCLUDED, self.num_items)
        best_scores, best = best_of_catalogue(every, enough, self.num_items, group)
        best = tf.where(has_candidates, PADDING, best)
        items, scores = tf.concat([best, candidates], axis=1), tf.concat([best_scores, some], axis=1)
        return best_of_pool(items, scores, exclude, k)

    def _rank_all(
        self, k: int, query: Mapping[str, Tensor], exclude: Tensor, catalogue: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What `rank` gives without candidates, faster where the batch is large."""
        scores = overwrite_excluded(self.score_catalogue(query, catalogue), exclude)
        scores, items = best_of_catalogue(scores, k, self.num_items, group_size(k, self.num_items))
        return tf.where(scores > NO_ITEM_SCORE, items, PADDING), scores

    def _tensors(self, query: Mapping[str, ArrayLike]) -> dict[str, tf.Tensor]:
        missing = [name for name in self.query_names if name not in query]
        if missing:
            raise UserError(
                f"{self.architecture} needs the query inputs {self.query_names}. Missing: {', '.join(missing)}."
            )
        return {name: tf.constant(query[name], self.schema[name].dtype) for name in self.query_names}

    def _query_spec(self) -> dict[str, tf.TensorSpec]:
        features = [self.schema[name] for name in self.query_names]
        return {feature.name: tf.TensorSpec((None, *feature.shape), feature.dtype) for feature in features}

    def _compiled(
        self, name: str, function: Callable[..., tf.Tensor], signature: list[object]
    ) -> Callable[..., tf.Tensor]:
        compiled = self._untracked.compiled
        if name not in compiled:
            # Wrapped, because a function with a signature cannot be a bound method of a Keras model.
            compiled[name] = tf.function(lambda *given: function(*given), input_signature=signature, autograph=False)
        return compiled[name]
