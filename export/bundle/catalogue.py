"""A new catalogue for a trained model: what the bundle knows of items, and what a table says of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from export.bundle.bundle import MODEL, PREPROCESSING, TITLES
from zoo.cold_start import encode_column, feature_names
from zoo.data.dataset import Dataset, neutral
from zoo.data.preparation import read_side_tables
from zoo.data.readers import Source, Table, are_integers, distinct, ids, missing_column
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.files import parsing
from zoo.layers import CatalogueRows, data_layers
from zoo.saving import read_preprocessing, read_recommender
from zoo.schema import FIRST_KNOWN, Feature, Schema, Vocabulary

# Ids as they are in the data.
RawIds = Sequence[int] | Sequence[str]

# How many ids an error lists.
LISTED = 5
# Encoded numbers this near are the same, because text encoders round differently from call to call.
SAME = 1e-6

# What the bundle knows


def load_trained(folder: Path) -> tuple[Recommender, Dataset]:
    """The trained model of a bundle, and what encodes raw values, with the items as they are in the model.

    Args:
        folder: The bundle.

    Returns:
        The model, and the dataset without users and interactions.

    Raises:
        UserError: If the bundle lacks them, or the architecture has changed since.
    """
    for part in (MODEL, PREPROCESSING):
        if not (folder / part).is_dir():
            raise UserError(f"{folder}: has no folder {part}, which holds what was trained. Export the run anew.")
    model, dataset = read_recommender(folder / MODEL), read_preprocessing(folder / PREPROCESSING)
    titles = np.array(["", "", *_stored_titles(folder, dataset.vocabularies["item"])], object)
    return model, dataclasses.replace(dataset, items=_stored_items(model), titles=titles)


def _stored_items(model: Recommender) -> dict[str, np.ndarray]:
    """The features of items that a model reads, by name."""
    rows = [layer for layer in data_layers(model) if isinstance(layer, CatalogueRows)]
    return {layer.feature_name: layer.rows.numpy() for layer in rows}


def _stored_titles(folder: Path, item: Vocabulary) -> Iterable[str]:
    """The title of every known item, which is its id where the bundle has no titles."""
    path = folder / TITLES
    if not path.exists():
        return map(str, item.values)
    with parsing(path, "titles"):
        titles: list[str] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(titles, list) or len(titles) != len(item):
            raise UserError(f"Expected {len(item)} titles. Make the bundle anew.")
    return titles


# What the table says


def read_items(items: Source, columns: Mapping[str, str]) -> Table:
    """The table of items in a file or frame, with some columns renamed.

    Raises:
        UserError: If it cannot be read, or lacks a column that is renamed or the column `item`.
    """
    name = items.name if isinstance(items, Table) else "items" if isinstance(items, pd.DataFrame) else str(items)
    return read_side_tables(None, items, columns, name, ())["item"]


def raw_ids(table: Table, item: Vocabulary) -> RawIds:
    """The ids of a table's rows, as the vocabulary has them.

    Raises:
        UserError: If an id has two rows, is of another kind than those of the vocabulary, or none is in it. The message
            names the place.
    """
    codes, texts = ids(table, "item")
    _check_once(table, codes, texts)
    if item.is_integer:
        _check_integers(table, codes, texts)
    raw = [int(texts[code]) for code in codes] if item.is_integer else [str(texts[code]) for code in codes]
    if (item.index(raw) < FIRST_KNOWN).all():
        raise UserError(
            f"{table.name}: none of its items is in the bundle. Give the items the ids that they had in training."
        )
    return raw


def _check_once(table: Table, codes: np.ndarray, texts: np.ndarray) -> None:
    again = pd.Series(codes).duplicated().to_numpy()
    if again.any():
        at = int(np.argmax(again))
        raise UserError(
            f"{_place(table, at)}: the item {texts[codes[at]]!r} has a row already. Give every item one row."
        )


def _check_integers(table: Table, codes: np.ndarray, texts: np.ndarray) -> None:
    for at, code in enumerate(codes):
        if not are_integers([texts[code]]):
            raise UserError(
                f"{_place(table, at)}: the ids of this bundle's items are integers. Received: {texts[code]!r}."
            )


def _place(table: Table, row: int) -> str:
    return table.where(table.frame.index[row], "item")


# What follows from both


def with_items(model: Recommender, dataset: Dataset, table: Table, raw: RawIds) -> tuple[Dataset, np.ndarray]:
    """The dataset with the items of a table.

    Args:
        model: The trained model.
        dataset: What `load_trained` gave.
        table: The new catalogue.
        raw: The ids of its rows.

    Returns:
        The dataset, and which rows of the table say another thing than was known before, bool `[rows]`.

    Raises:
        UserError: If there are new items that the model or the vocabulary cannot take, or a value is wrong.
    """
    new = [value for value in raw if value not in dataset.vocabularies["item"]]
    if new:
        _check_additions(model, new, table)
    grown = _with_new(dataset.vocabularies["item"], new, table)
    rows = grown.index(raw)
    titles, is_other = _titles(dataset, grown, rows, table)
    items = {}
    for name, known in dataset.items.items():
        feature = dataset.schema[name]
        values = encode_column(table, _column_of(feature, table), feature, dataset)
        items[name], differs = _replaced(known, values, rows, np.repeat(neutral(feature)[None], len(new), axis=0))
        is_other |= differs
    vocabularies = {**dataset.vocabularies, "item": grown}
    schema = with_size(dataset.schema, grown.size)
    return dataclasses.replace(dataset, schema=schema, vocabularies=vocabularies, items=items, titles=titles), is_other


def with_size(schema: Schema, size: int) -> Schema:
    """A schema with so many rows of items."""
    of_items = ("item", "history")
    return Schema(dataclasses.replace(f, size=size) if f.name in of_items else f for f in schema)


def _with_new(item: Vocabulary, new: Sequence[int | str], table: Table) -> Vocabulary:
    """The vocabulary with new ids behind the known ones."""
    grown = Vocabulary([*item.to_json(), *new])
    if grown.padding_value != item.padding_value:
        raise UserError(
            f"{table.name}: the item {min(new)} cannot be added, because requests to this bundle use "
            f"{item.padding_value} for padding. Give it an id above that."
        )
    return grown


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


def _check_additions(model: Recommender, new: Sequence[int | str], table: Table) -> None:
    """Raises a `UserError` unless the item side of a model reads features, which is all that a new item has."""
    read = _sources_of_items(model)
    if "items" in read and "interactions" not in read:
        return
    how = "by who has seen it" if "interactions" in read else "only by its id"
    raise UserError(
        f"{table.name}: {len(new)} items are new ({_shown(new)}), and {model.architecture} knows an item {how}, so it "
        "can say nothing of them. Leave them out, train anew with them, or use an architecture that reads item "
        "features."
    )


def _sources_of_items(model: Recommender) -> set[str]:
    """What the item side of a model reads of the data, `"items"` or `"interactions"`."""
    return {layer.source for layer in data_layers(model.item_network)} if model.item_network is not None else set()


def _shown(raw: Sequence[int | str]) -> str:
    return ", ".join(map(repr, raw[:LISTED])) + (", ..." if len(raw) > LISTED else "")
