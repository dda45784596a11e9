"""Items that training never saw, taken into a trained model by their features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from zoo.cold_start.encoding import encode_column, feature_names
from zoo.data.dataset import Dataset, neutral
from zoo.data.table import Table, missing_column
from zoo.data.values import distinct
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.layers import data_layers
from zoo.registry import build
from zoo.schema import UNKNOWN, Feature, Schema, Vocabulary

if TYPE_CHECKING:
    import keras

# Encoded numbers this near are the same, because text encoders round differently from call to call.
SAME = 1e-6


def why_no_new_items(model: Recommender) -> str:
    """Why a model can say nothing of an item that training never saw; empty if it can, by the item's features.

    Example:

    >>> import zoo
    >>> why_no_new_items(zoo.build("mf"))
    'mf knows an item only by its id'
    """
    read = {layer.source for layer in data_layers(model.item_network)} if model.item_network is not None else set()
    if "items" in read and "interactions" not in read:
        return ""
    how = "by who has seen it" if "interactions" in read else "only by its id"
    return f"{model.architecture} knows an item {how}"


def as_known_ids(codes: np.ndarray, texts: np.ndarray, item: Vocabulary) -> list[int] | list[str]:
    """The ids of rows, as `ids` gives them, of the type that a vocabulary has: integers or texts."""
    return [int(texts[code]) for code in codes] if item.is_integer else [str(texts[code]) for code in codes]


def with_rows(
    dataset: Dataset, table: Table, raw: Sequence[int] | Sequence[str], grown: Vocabulary
) -> tuple[Dataset, np.ndarray]:
    """The dataset with the items of a table, encoded by what was fitted in training.

    Args:
        dataset: The dataset with the items that are known.
        table: Raw values of items, known or new, under their canonical names.
        raw: The ids of its rows.
        grown: The vocabulary of items with the new ids behind the known ones.

    Returns:
        The dataset, and which rows of the table say another thing than was known before, bool `[rows]`.

    Raises:
        UserError: If a column of a feature is not there, or a value is wrong, with its place.
    """
    rows = grown.index(raw)
    titles, is_other = _titles(dataset, grown, rows, table)
    items, added = {}, grown.size - dataset.num_items
    for name, known in dataset.items.items():
        feature = dataset.schema[name]
        values = encode_column(table, _column_of(feature, table), feature, dataset)
        items[name], differs = _replaced(known, values, rows, np.repeat(neutral(feature)[None], added, axis=0))
        is_other |= differs
    vocabularies = {**dataset.vocabularies, "item": grown}
    schema = with_size(dataset.schema, grown.size)
    return dataclasses.replace(dataset, schema=schema, vocabularies=vocabularies, items=items, titles=titles), is_other


def with_size(schema: Schema, size: int) -> Schema:
    """A schema with so many rows of items."""
    of_items = ("item", "history")
    return Schema(dataclasses.replace(f, size=size) if f.name in of_items else f for f in schema)


def _titles(dataset: Dataset, grown: Vocabulary, rows: np.ndarray, table: Table) -> tuple[np.ndarray, np.ndarray]:
    """The titles of all items with those of the table, and which rows of the table have another title than before."""
    new = grown.values[len(dataset.vocabularies["item"]) :]
    titles = np.array([*dataset.titles, *map(str, new)], object)
    before = titles[rows]
    if "title" in table.frame.columns:
        codes, texts = distinct(table.frame["title"])
        # An item without a title has its id for one.
        own = np.array([str(raw) for raw in grown.lookup(rows)], object)
        titles[rows] = np.where(codes >= 0, np.append(texts, "")[codes], own)
    return titles, titles[rows] != before


def _replaced(
    known: np.ndarray, values: np.ndarray, rows: np.ndarray, added: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Encoded values of all items with those of some rows replaced where they differ, and which of those differ."""
    replaced = np.concatenate([known, added])
    differs = (np.abs(replaced[rows] - values) > SAME).reshape(len(rows), -1).any(axis=1)
    replaced[rows[differs]] = values[differs]
    return replaced, differs


def _column_of(feature: Feature, table: Table) -> str:
    """The column that became a feature. A feature has a plainer name, with the role in front where another has it."""
    columns = table.frame.columns.drop("item")
    # The plain names of all columns come first, because a name that fits one of them plainly may be what another
    # column is made to fit.
    for names in zip(*(feature_names(column, "item") for column in columns), strict=True):
        found = [column for column, name in zip(columns, names, strict=True) if name == feature.name]
        if len(found) == 1:
            return found[0]
    raise missing_column(table.name, feature.name, table.written_names())


def with_catalogue(model: Recommender, dataset: Dataset) -> Recommender:
    """The model with the items of a dataset. A new one starts as the unknown item in every table of weights.

    Args:
        model: The trained model.
        dataset: The dataset, whose first items are those of the model.

    Raises:
        UserError: If a weight of the model is not a row an item.
    """
    if dataset.num_items > model.num_items:
        model = _grown(model, dataset.num_items)
    model.adapt(items=dataset.items)
    return model


def _grown(model: Recommender, size: int) -> Recommender:
    grown = build(model.architecture, with_size(model.schema, size), **model.hparams)
    pairs = zip_longest(model.weights, grown.weights)
    weights = [_grown_weight(model, _values(old), _shape(new), size) for old, new in pairs]
    grown.set_weights(weights)
    return grown


def _values(weight: keras.Variable | None) -> np.ndarray:
    return np.array(0) if weight is None else weight.numpy()


def _shape(weight: keras.Variable | None) -> tuple[int, ...]:
    return () if weight is None else tuple(weight.shape)


def _grown_weight(model: Recommender, values: np.ndarray, shape: tuple[int, ...], size: int) -> np.ndarray:
    """The values of a weight in the larger model. A table of items gets a row for every new one."""
    if values.ndim > 0 and (len(values), *shape) == (model.num_items, size, *values.shape[1:]):
        return np.concatenate([values, np.repeat(values[[UNKNOWN]], size - len(values), axis=0)])
    if values.shape != shape:
        raise UserError(
            f"{model.architecture} cannot take new items: with them, weights of the shape {values.shape} would "
            f"have the shape {shape}, which is not a row more for each. Train anew with them."
        )
    return values
