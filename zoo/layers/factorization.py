"""Linear terms and products of features, as in factorization machines (Rendle, 2010, 10.1109/ICDM.2010.127)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from keras import layers, ops

from zoo.layers.basic import Dropout, Embedding
from zoo.layers.features import FeatureNodes, HistorySummary, IdEmbedding, NumericEmbedding, masked_mean
from zoo.schema import PADDING, Feature, Schema

if TYPE_CHECKING:
    from zoo.types import Tensor


@dataclasses.dataclass
class Side:
    """What is known of a query or of an item before the two meet.

    Args:
        vectors: One vector a feature, `[batch, dim]` each.
        linear: `[batch, 1]`, its linear terms.
    """

    vectors: list[Tensor]
    linear: Tensor

    @cached_property
    def total(self) -> Tensor:
        """`[batch, dim]`, the sum of the vectors."""
        return ops.sum(ops.stack(self.vectors, axis=1), axis=1)

    @cached_property
    def joined(self) -> Tensor:
        """`[batch, n * dim]`, the vectors side by side."""
        return ops.concatenate(self.vectors, axis=-1)

    @cached_property
    def bias(self) -> Tensor:
        """`[batch, 1]`, what this side adds to the logit of a factorization machine by itself."""
        return self.linear + pairwise_products(self.vectors)


def query_and_item(schema: Schema, dim: int, *, dropout: float, id_dropout: float, recent: int) -> tuple[Side, Side]:
    """Every feature of a query and of an item, its history as a summary.

    The pooled vectors of a history come from the table of the target items.

    Args:
        schema: The schema of the data.
        dim: Width of a vector.
        dropout: Share of the numbers of the vectors dropped in training.
        id_dropout: Share of the examples in which ids do without what was learned of them.
        recent: How many of the last events of a history are pooled apart.

    Returns:
        The `Side` of the query and that of the item.
    """
    query = FeatureNodes(schema, ("user", "context"), dim, id_dropout)
    item = FeatureNodes(schema, ("item",), dim, id_dropout)
    history = HistorySummary(schema, item.ids["item"], recent)
    vectors = [*query.all, *history.vectors, *(NumericEmbedding(dim)(number) for number in history.numbers)]
    drop = Dropout(dropout)
    return (
        Side([drop(vector) for vector in vectors], linear_query(schema, query.values, id_dropout, recent)),
        Side([drop(vector) for vector in item.all], linear_terms(item.values, id_dropout)),
    )


def linear_query(schema: Schema, values: Iterable[tuple[Feature, Tensor]], id_dropout: float, recent: int) -> Tensor:
    """The linear terms of a query, among them those of its history: of its numbers and of every item in it.

    Args:
        schema: The schema of the data.
        values: The other features of the query, as `feature_values` gives them.
        id_dropout: Share of the examples in which ids do without what was learned of them.
        recent: How many of the last events of a history are pooled apart.

    Returns:
        `[batch, 1]` symbolic tensor.
    """
    weights = IdEmbedding(schema.size("item"), 1, dropout=id_dropout, name="history_weights")
    history = HistorySummary(schema, weights, recent)
    of_items = ops.sum(ops.stack(history.vectors), axis=0)
    return linear_terms(values, id_dropout, history.numbers) + of_items


def linear_terms(values: Iterable[tuple[Feature, Tensor]], id_dropout: float, numbers: Sequence[Tensor] = ()) -> Tensor:
    """The sum of one weight an id or category, and of the numbers and text vectors times their weights.

    A multi-valued category adds the mean of its values' weights. All weights start at zero, except those that
    ids have in common.

    Args:
        values: Features with their values, as `feature_values` gives them.
        id_dropout: Share of the examples in which ids do without what was learned of them.
        numbers: Further numbers, `[batch]` each.

    Returns:
        `[batch, 1]` symbolic tensor.
    """
    terms, columns = [], [number[:, None] for number in numbers]
    for feature, value in values:
        if feature.kind == "id":
            weights = IdEmbedding(feature.size, 1, dropout=id_dropout, name=f"{feature.name}_weights")
            terms.append(weights(value))
        elif not feature.is_indexed:
            columns.append(value if feature.kind == "text" else value[:, None])
        elif feature.length is None:
            terms.append(Embedding(feature.size, 1, stddev=0.0)(value))
        else:
            terms.append(masked_mean(Embedding(feature.size, 1, stddev=0.0)(value), value != PADDING))
    if columns:
        terms.append(layers.Dense(1, kernel_initializer="zeros")(ops.concatenate(columns, axis=-1)))
    return ops.sum(ops.stack(terms), axis=0)


def pairwise_products(vectors: Sequence[Tensor]) -> Tensor:
    """The sum of the dot products of all pairs of vectors, from their sum and their squares.

    Args:
        vectors: `[batch, dim]` each.

    Returns:
        `[batch, 1]` tensor.
    """
    stacked = ops.stack(vectors, axis=1)
    squared_sum, sum_of_squares = ops.square(ops.sum(stacked, axis=1)), ops.sum(ops.square(stacked), axis=1)
    return 0.5 * ops.sum(squared_sum - sum_of_squares, axis=-1, keepdims=True)
