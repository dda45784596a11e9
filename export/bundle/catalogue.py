"""A new catalogue for a trained model: what the bundle knows of items, and what a table says of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from export.bundle.bundle import MODEL, PREPROCESSING, TITLES
from zoo.cold_start.growing import as_known_ids, why_no_new_items, with_rows
from zoo.data.dataset import Dataset
from zoo.data.named import YAML_SUFFIXES, items_of_yaml
from zoo.data.preparation import read_side_tables
from zoo.data.reading import Source, read_table
from zoo.data.table import Table
from zoo.data.values import are_integers, ids
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.files import parsing
from zoo.layers import CatalogueRows, data_layers
from zoo.saving import read_preprocessing, read_recommender
from zoo.schema import FIRST_KNOWN, Vocabulary

# Ids as they are in the data.
RawIds = Sequence[int] | Sequence[str]

# How many ids an error lists.
LISTED = 5

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

    Args:
        items: The table, or a YAML file of data. Its table of items is taken, and its names for columns.
        columns: Further names for columns, name in the table to name here.

    Raises:
        UserError: If it cannot be read, or lacks a column that is renamed or the column `item`.
    """
    if isinstance(items, str | Path) and Path(items).suffix.lower() in YAML_SUFFIXES:
        items, of_file = items_of_yaml(Path(items))
        table = read_table(items, name="items")
        items = table.renamed({old: new for old, new in of_file.items() if old in table.frame.columns})
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
    raw = as_known_ids(codes, texts, item)
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


def _with_new(item: Vocabulary, new: Sequence[int | str], table: Table) -> Vocabulary:
    """The vocabulary with new ids behind the known ones."""
    grown = Vocabulary([*item.to_json(), *new])
    if grown.padding_value != item.padding_value:
        raise UserError(
            f"{table.name}: the item {min(new)} cannot be added, because requests to this bundle use "
            f"{item.padding_value} for padding. Give it an id above that."
        )
    return grown


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
    return with_rows(dataset, table, raw, _with_new(dataset.vocabularies["item"], new, table))


def _check_additions(model: Recommender, new: Sequence[int | str], table: Table) -> None:
    """Raises a `UserError` unless the item side of a model reads features, which is all that a new item has."""
    why = why_no_new_items(model)
    if why:
        raise UserError(
            f"{table.name}: {len(new)} items are new ({_shown(new)}), and {why}, so it can say nothing of them. "
            "Leave them out, train anew with them, or use an architecture that reads item features."
        )


def _shown(raw: Sequence[int | str]) -> str:
    return ", ".join(map(repr, raw[:LISTED])) + (", ..." if len(raw) > LISTED else "")
