"""From named features to vectors: one node a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import layers, ops

from zoo.errors import UserError
from zoo.layers.basic import Embedding
from zoo.layers.catalogue import CatalogueRows
from zoo.schema import PADDING, Feature, Role, Schema

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# The score of what is not there. It gives a weight of zero beside any other score, and half precision has it too.
ABSENT = -1e4


class FeatureNodes:
    """The features of some roles as vectors of one width: categorical nodes, numeric nodes, text nodes.

    Item features are looked up in the catalogue by the item id; all others are model inputs.

    Args:
        schema: The schema of the data.
        roles: Whose features are read.
        dim: Width of a node.
        id_dropout: Share of the examples in which ids do without what was learned of them; see `IdEmbedding`.
        ids: Whether ids are read.

    Attributes:
        categorical: The nodes of ids and categories, `[batch, dim]` each.
        numeric: Those of numbers.
        text: Those of texts.
        ids: By the name of an id feature, the `IdEmbedding` that gave it its node.
        values: What `feature_values` gave.

    Example:

    >>> schema = Schema.of_ids(num_users=5, num_items=7)
    >>> nodes = FeatureNodes(schema, ("item",), dim=32)
    >>> [node.shape for node in nodes.all]
    [(None, 32)]
    >>> seen = nodes.ids["item"](schema.input("history"))  # by the table of the item itself
    >>> seen.shape[-1]
    32
    """

    def __init__(
        self, schema: Schema, roles: Sequence[Role], dim: int, id_dropout: float = 0.0, ids: bool = True
    ) -> None:
        self.categorical: list[Tensor] = []
        self.numeric: list[Tensor] = []
        self.text: list[Tensor] = []
        self.ids: dict[str, IdEmbedding] = {}
        self.values = feature_values(schema, roles, ids)
        for feature, value in self.values:
            if feature.kind == "numeric":
                self.numeric.append(NumericEmbedding(dim)(value))
            elif feature.kind == "text":
                self.text.append(layers.Dense(dim, name=f"{feature.name}_projection")(value))
            elif feature.kind == "id":
                self.ids[feature.name] = IdEmbedding(feature.size, dim, dropout=id_dropout)
                self.categorical.append(self.ids[feature.name](value))
            elif feature.length is None:
                self.categorical.append(Embedding(feature.size, dim)(value))
            else:
                self.categorical.append(AttentionPooling()(Embedding(feature.size, dim)(value), value != PADDING))

    @property
    def all(self) -> list[Tensor]:
        """The nodes of every kind."""
        return [*self.categorical, *self.numeric, *self.text]


def feature_values(schema: Schema, roles: Sequence[Role], ids: bool = True) -> list[tuple[Feature, Tensor]]:
    """The features of some roles with their encoded values.

    Args:
        schema: The schema of the data.
        roles: Whose features are wanted.
        ids: Whether ids are wanted.

    Returns:
        Every feature with its symbolic value, `[batch, *feature.shape]`: a model input or, for the features of
        items, what the catalogue holds of the item.
    """

    def value(feature: Feature) -> Tensor:
        if feature.role != "item" or feature.name == "item":
            return schema.input(feature.name)
        return CatalogueRows(schema.size("item"), feature)(schema.input("item"))

    return [(feature, value(feature)) for feature in schema.role(*roles) if ids or feature.kind != "id"]


def masked_mean(vectors: Tensor, present: Tensor) -> Tensor:
    """`[batch, n, dim]` vectors and `[batch, n]` bools to the mean of those present, `[batch, dim]`; zeros of none."""
    weights = ops.cast(present, vectors.dtype)[..., None]
    return ops.sum(vectors * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)


@keras.saving.register_keras_serializable("recozoo")
class IdEmbedding(keras.layers.Layer):
    """The vector of an id: one vector that all ids have in common, plus what was learned of the id itself.

    What is learned of an id starts at zero, so an id without a training event has exactly the common vector,
    which stands for an id that nothing is known of. In training an id's own part is left out of a share of the
    examples (id dropout; cf. DropoutNet, Volkovs et al., 2017). So the other features learn to do without it and
    are useful by themselves, to new users and items. Nothing is scaled up in return, because the common vector by
    itself must mean in training what it means to a new id.

    Args:
        rows: Rows of the table, padding and unknown included.
        dim: Width of the vectors.
        dropout: Share of the training examples in which ids have only the common vector.

    Raises:
        UserError: If the width is below 1, or the share is below 0 or not below 1.

    Example:

    >>> import numpy as np
    >>> IdEmbedding(rows=10, dim=4, dropout=0.1)(np.array([2, 5])).shape
    TensorShape([2, 4])
    """

    def __init__(self, rows: int, dim: int, *, dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise UserError(f"id_dropout must be at least 0 and below 1. Received: {dropout}.")
        self.own, self.dropout = Embedding(rows, dim, stddev=0.0), dropout
        if dropout:
            self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Shape | None = None) -> None:
        """Makes the table and the common vector."""
        self.own.build()
        start = keras.initializers.RandomNormal(stddev=0.05)
        self.common = self.add_weight(name="common", shape=(self.own.dim,), initializer=start)

    def call(self, ids: Tensor, training: bool = False) -> Tensor:
        """`[batch]` or `[batch, L]` ids to `[batch, dim]` or `[batch, L, dim]`; a list is dropped as a whole."""
        own = self.own(ids)
        if training and self.dropout:
            of_an_example = (ops.shape(ids)[0], *[1] * len(ids.shape))
            draws = keras.random.uniform(of_an_example, dtype="float32", seed=self.seed_generator)
            own = own * ops.cast(draws >= self.dropout, own.dtype)
        return self.common + own

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One vector an id."""
        return self.own.compute_output_shape(input_shape)


@keras.saving.register_keras_serializable("recozoo")
class AttentionPooling(keras.layers.Layer):
    """A set of vectors as one: their mean, weighted by what a small layer makes of each (Ilse et al., 2018).

    All vectors weigh the same at first.

    Example:

    >>> import numpy as np
    >>> vectors, present = np.ones((2, 3, 4), "float32"), np.array([[True, True, False], [False] * 3])
    >>> AttentionPooling()(vectors, present).numpy()[:, 0]
    array([1., 0.], dtype=float32)
    """

    def build(self, vectors_shape: Shape, *_: Shape) -> None:
        """Makes the layers that score a vector."""
        dim = vectors_shape[-1]
        self.spread = layers.Dense(dim, activation="tanh")
        self.score = layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        for layer in (self.spread, self.score):
            layer.build((None, None, dim))

    def call(self, vectors: Tensor, present: Tensor) -> Tensor:
        """`[batch, M, dim]` vectors and `[batch, M]` bools to `[batch, dim]`; zeros where none is present."""
        present = present[..., None]
        scores = ops.where(present, self.score(self.spread(vectors)), ABSENT)
        weights = ops.softmax(scores, axis=1) * ops.cast(present, vectors.dtype)
        return ops.sum(weights * vectors, axis=1)

    def compute_output_shape(self, vectors_shape: Shape, *_: Shape) -> Shape:
        """One vector a set."""
        return (vectors_shape[0], vectors_shape[-1])


@keras.saving.register_keras_serializable("recozoo")
class NumericEmbedding(keras.layers.Layer):
    """A learned embedding of a number: a direction scaled by the value, through a small non-linear layer.

    Args:
        dim: Width of the vector.
    """

    def __init__(self, dim: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.spread = layers.Dense(dim, activation="tanh")
        self.project = layers.Dense(dim)

    def build(self, input_shape: Shape) -> None:
        """Builds both layers."""
        self.spread.build((None, 1))
        self.project.build((None, self.spread.units))

    def call(self, values: Tensor) -> Tensor:
        """`[batch, ...]` numbers to `[batch, ..., dim]`."""
        return self.project(self.spread(values[..., None]))


@keras.saving.register_keras_serializable("recozoo")
class HistoryPooling(keras.layers.Layer):
    """A history as one vector: the mean of its item vectors, weighted by their ratings."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.weigh = layers.Dense(1)

    def build(self, *_: Shape) -> None:
        """Builds the layer that turns a rating into a weight."""
        self.weigh.build((None, None, 1))

    def call(self, vectors: Tensor, items: Tensor, ratings: Tensor) -> Tensor:
        """`[batch, L, dim]` vectors, `[batch, L]` items and ratings to `[batch, dim]`; zeros where nothing was seen."""
        is_event = ops.cast(items != 0, vectors.dtype)[..., None]
        weights = is_event * ops.exp(ops.tanh(self.weigh(ratings[..., None])))
        return ops.sum(weights * vectors, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1e-6)


class HistorySummary:
    """What a history says in a few numbers and two vectors, for networks that read no sequences.

    The vectors are means of item vectors. Where the table gives the target its vector too, a product of both
    says how alike the target is to what was seen, as in FISM (Kabbur et al., 2013, 10.1145/2487575.2487589).
    Only `history` and `history_rating` are read.

    Args:
        schema: The schema of the data.
        items: Gives vectors to items.
        recent: How many of the last events are pooled into a vector of their own.

    Attributes:
        numbers: `[batch]` each: the logarithm of one more than the events; the share of liked ones, drawn
            towards a half as if one more was liked and one more was not; the mean rating, 0 without events.
        vectors: `[batch, dim]` each: the mean vector of the liked items and that of the last items; zeros
            where there are none.

    Raises:
        UserError: If `recent` is below 1.

    Example:

    >>> schema = Schema.of_ids(num_users=5, num_items=7)
    >>> item = FeatureNodes(schema, ("item",), dim=32)
    >>> liked, last = HistorySummary(schema, item.ids["item"], recent=10).vectors
    >>> liked.shape
    (None, 32)
    """

    def __init__(self, schema: Schema, items: IdEmbedding, recent: int = 10) -> None:
        if recent < 1:
            raise UserError(f"recent must be at least 1. Received: {recent}.")
        history, ratings = schema.input("history"), schema.input("history_rating")
        # A padded event may have any rating.
        is_event = ops.cast(history != PADDING, "float32")
        liked = is_event * ops.cast(ratings > 0, "float32")
        last = is_event * ops.cast(ops.arange(is_event.shape[1]) >= is_event.shape[1] - recent, "float32")
        events, likes = ops.sum(is_event, axis=1), ops.sum(liked, axis=1)
        rating = ops.sum(is_event * ratings, axis=1) / ops.maximum(events, 1.0)
        self.numbers = [ops.log(events + 1), (likes + 1) / (events + 2), rating]
        # Each history is looked up once, and both means are one product.
        weights = ops.stack([liked, last], axis=1)
        weights = weights / ops.maximum(ops.sum(weights, axis=2, keepdims=True), 1.0)
        vectors = items(history)
        means = ops.matmul(ops.cast(weights, vectors.dtype), vectors)
        self.vectors = [means[:, 0], means[:, 1]]
