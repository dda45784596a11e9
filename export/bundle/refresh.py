"""New, changed and withdrawn items in a bundle, without training anew."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from export.bundle.bundle import MODEL, PREPROCESSING, TITLES, Bundle, open_bundle
from export.bundle.manifest import NAME, Manifest, RunFacts
from export.bundle.publishing import publish_bundle
from export.values import Values
from export.verification.check import Report
from export.verification.reference import load_sample
from zoo.cold_start import encode_column, feature_names
from zoo.data.dataset import Dataset, neutral
from zoo.data.preparation import read_side_tables
from zoo.data.readers import Source, Table, are_integers, distinct, ids, missing_column
from zoo.errors import UserError
from zoo.families import Recommender, check_k
from zoo.files import check_free
from zoo.layers import CatalogueRows, data_layers
from zoo.registry import build
from zoo.saving import read_preprocessing, read_recommender
from zoo.schema import FIRST_KNOWN, UNKNOWN, Feature, Schema, Vocabulary

# How many ids an error lists.
LISTED = 5
# Encoded numbers this near are the same: text encoders round differently from call to call.
SAME = 1e-6


@dataclasses.dataclass(frozen=True)
class Changes:
    """What became of the items of a bundle, as raw ids.

    Args:
        new: Items that the bundle did not know.
        changed: Items with another title or other features.
        withdrawn: Items that are no longer recommended.
        returned: Items that had been withdrawn.
        unchanged: Items that are as they were.
    """

    new: list[Any]
    changed: list[Any]
    withdrawn: list[Any]
    returned: list[Any]
    unchanged: list[Any]

    @property
    def counts(self) -> dict[str, int]:
        """How many items there are of each sort."""
        return {field.name: len(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.new or self.changed or self.withdrawn or self.returned)

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self.counts.items())


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What `refresh` gives.

    Args:
        bundle: The new bundle; the former one where nothing changed.
        changes: What became of the items.
    """

    bundle: Bundle
    changes: Changes


def refresh(
    bundle: Bundle | str | Path,
    items: Source,
    out: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    k: int | None = None,
    overwrite: bool = False,
    report: Report = lambda check: None,
) -> Refreshed:
    """Puts another catalogue into a bundle, verifies it again and publishes it as the next version.

    No weight is trained. An item that the catalogue no longer has stays known, so that histories with it still say
    something of their users, but is never recommended until it comes back. A new item is encoded by what was fitted
    in training, as an item of unknown id with the features that it has; so only an architecture whose item tower
    reads features takes new items.

    Args:
        bundle: The bundle, or its folder.
        items: The whole new catalogue, a file or frame of the columns that the table of items had in training.
        out: Where the new bundle goes; by default in place of the old one, in one step.
        columns: Names for columns, name in the file to name here, e.g. `{"sku": "item"}`.
        k: How many items `recommend` gives; by default as many as before.
        overwrite: Whether a bundle at `out` may be replaced.
        report: Called with each check of the verification as it is done.

    Returns:
        A `Refreshed`. Where nothing changed, nothing is published.

    Raises:
        UserError: If the bundle or the catalogue cannot be used, fewer items than `k` are left to recommend, or
            there are new items and the architecture knows items by their ids alone. Nothing changes then.
        ZooError: If an artefact disagrees with the refreshed model. Nothing is published then.

    Example:

    >>> export.refresh("bundles/shop", "items.parquet").changes.counts
    {'new': 3, 'changed': 1, 'withdrawn': 2, 'returned': 0, 'unchanged': 96}
    """
    opened = open_bundle(bundle.folder if isinstance(bundle, Bundle) else bundle)
    # A link is not what is to be exchanged, but the folder that it leads to.
    target, overwrite = (opened.folder.resolve(), True) if out is None else (Path(out), overwrite)
    check_free(target, overwrite, NAME)
    model, dataset = load_trained(opened.folder)
    table = _read_items(items, columns or {})
    raw = _raw_ids(table, dataset.vocabularies["item"])
    dataset, is_other = _with_items(model, dataset, table, raw)

    item = dataset.vocabularies["item"]
    withdrawn = np.setdiff1d(np.arange(FIRST_KNOWN, item.size), item.index(raw))
    changes = _changes(raw, is_other, model.num_items, item, withdrawn, item.index(opened.manifest["withdrawn"]))
    k = opened.manifest["k"] if k is None else k
    check_k(k, item.size)
    if k > len(raw):
        raise UserError(
            f"{table.name}: leaves {len(raw)} items to recommend, fewer than the k = {k} that recommend gives. "
            f"Pass -k {len(raw)} (k={len(raw)}) or less, or offer more items."
        )
    if not changes:
        return Refreshed(opened, changes)
    published = publish_bundle(
        target,
        _with_catalogue(model, dataset),
        dataset,
        _without(load_sample(opened.folder), item.lookup(withdrawn), item),
        dataclasses.replace(opened.options, k=k),
        opened.manifest["metrics"],
        facts=_run_facts(opened.manifest),
        withdrawn=withdrawn.tolist(),
        refreshed={"from_version": opened.version, **changes.counts},
        overwrite=overwrite,
        report=report,
    )
    return Refreshed(published, changes)


def _run_facts(manifest: Manifest) -> RunFacts:
    """What the manifest says of the run, which a refresh does not change."""
    return cast(RunFacts, {name: value for name, value in manifest.items() if name in RunFacts.__annotations__})


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
    model = read_recommender(folder / MODEL)
    dataset = read_preprocessing(folder / PREPROCESSING)
    ids_as_titles = map(str, dataset.vocabularies["item"].values)
    titles = json.loads((folder / TITLES).read_text(encoding="utf-8")) if (folder / TITLES).exists() else ids_as_titles
    dataset = dataclasses.replace(
        dataset,
        items={layer.feature_name: layer.rows.numpy() for layer in _catalogue_rows(model)},
        titles=np.array(["", "", *titles], object),
    )
    return model, dataset


def _catalogue_rows(model: Any) -> list[CatalogueRows]:
    return [layer for layer in data_layers(model) if isinstance(layer, CatalogueRows)]


# What the file says


def _read_items(items: Source, columns: Mapping[str, str]) -> Table:
    name = items.name if isinstance(items, Table) else "items" if isinstance(items, pd.DataFrame) else str(items)
    return read_side_tables(None, items, columns, name, ())["item"]


def _raw_ids(table: Table, item: Vocabulary) -> list[Any]:
    """The ids of a table's rows, as the vocabulary has them; a `UserError` with the place of one that cannot be."""
    codes, texts = ids(table, "item")
    again = pd.Series(codes).duplicated().to_numpy()
    if again.any():
        at = int(np.argmax(again))
        place = table.where(table.frame.index[at], "item")
        raise UserError(f"{place}: the item {texts[codes[at]]!r} has a row already. Give every item one row.")
    if item.is_integer:
        for at, code in enumerate(codes):
            if not are_integers([texts[code]]):
                place = table.where(table.frame.index[at], "item")
                raise UserError(f"{place}: the ids of this bundle's items are integers. Received: {texts[code]!r}.")
    raw = [int(texts[code]) if item.is_integer else texts[code] for code in codes]
    if (item.index(raw) < FIRST_KNOWN).all():
        raise UserError(f"{table.name}: none of its items is in the bundle. Are these the same ids?")
    return raw


def _with_items(model: Recommender, dataset: Dataset, table: Table, raw: list[Any]) -> tuple[Dataset, np.ndarray]:
    """The dataset with the items of a table, and which rows of the table say another thing than was known before."""
    item = dataset.vocabularies["item"]
    new = [value for value in raw if value not in item]
    if new:
        _check_additions(model, new, table)
    grown = Vocabulary([*item.to_json(), *new])
    if grown.padding_value != item.padding_value:
        raise UserError(
            f"{table.name}: the item {min(new)} cannot be added, since requests to this bundle use "
            f"{item.padding_value} for padding. Give it an id above that."
        )
    rows = grown.index(raw)
    titles = np.array([*dataset.titles, *map(str, new)], object)
    given = _titles(table, raw) if "title" in table.frame.columns else titles[rows]
    is_other, titles[rows] = titles[rows] != given, given
    items = {}
    for name, known in dataset.items.items():
        feature = dataset.schema[name]
        values = encode_column(table, _column_of(feature, table), feature, dataset)
        items[name] = np.concatenate([known, np.repeat(neutral(feature)[None], len(new), axis=0)])
        differs = (np.abs(items[name][rows] - values) > SAME).reshape(len(rows), -1).any(axis=1)
        items[name][rows[differs]] = values[differs]
        is_other |= differs
    vocabularies = {**dataset.vocabularies, "item": grown}
    schema = _with_size(dataset.schema, grown.size)
    return dataclasses.replace(dataset, schema=schema, vocabularies=vocabularies, items=items, titles=titles), is_other


def _titles(table: Table, raw: list[Any]) -> np.ndarray:
    codes, texts = distinct(table.frame["title"])
    return np.where(codes >= 0, np.append(texts, "")[codes], np.array([str(value) for value in raw], object))


def _column_of(feature: Feature, table: Table) -> str:
    """The column that became a feature, whose name is a plainer one, with the role in front where need was."""
    columns = [column for column in table.frame.columns if column != "item"]
    # By all columns at once, for the name that fits one plainly may be what another is made to fit.
    for names in zip(*(feature_names(column, "item") for column in columns), strict=True):
        found = [column for column, name in zip(columns, names, strict=True) if name == feature.name]
        if len(found) == 1:
            return found[0]
    raise missing_column(table.name, feature.name, table.written_names())


# What follows from both


def _changes(
    raw: list[Any], is_other: np.ndarray, size: int, item: Vocabulary, withdrawn: np.ndarray, before: np.ndarray
) -> Changes:
    """What became of the items.

    Args:
        raw: The ids of the new catalogue.
        is_other: Which of them have other features or another title than before.
        size: Rows of the item table before.
        item: The vocabulary of items, new ones included.
        withdrawn: Indices of the items that are not in the new catalogue.
        before: Indices of the items that were withdrawn before.
    """
    rows = item.index(raw)
    is_new, is_back = rows >= size, np.isin(rows, before)
    is_changed = is_other & ~is_new & ~is_back
    is_same = ~(is_new | is_back | is_changed)
    ids_of = [item.lookup(rows[which]).tolist() for which in (is_new, is_changed, is_back, is_same)]
    gone = item.lookup(np.setdiff1d(withdrawn, before)).tolist()
    return Changes(ids_of[0], ids_of[1], gone, ids_of[2], ids_of[3])


def _check_additions(model: Recommender, new: list[Any], table: Table) -> None:
    """Raises a `UserError` unless the item side of a model reads features, which is all that a new item has."""
    item_side = model.item_network
    read = {layer.source for layer in data_layers(item_side)} if item_side is not None else set()
    if "items" in read and "interactions" not in read:
        return
    how = "by who has seen it" if "interactions" in read else "only by its id"
    shown = ", ".join(map(repr, new[:LISTED])) + (", ..." if len(new) > LISTED else "")
    raise UserError(
        f"{table.name}: {len(new)} items are new ({shown}), and {model.architecture} knows an item {how}, so it can "
        "say nothing of them. Leave them out, train anew with them, or use an architecture that reads item features."
    )


def _with_catalogue(model: Recommender, dataset: Dataset) -> Recommender:
    """The model with the items of the dataset; a new one starts out as the unknown item in every table of weights."""
    if dataset.num_items > model.num_items:
        model = _grown(model, dataset.num_items)
    model.adapt(items=dataset.items)
    return model


def _grown(model: Recommender, size: int) -> Recommender:
    grown = build(model.architecture, _with_size(model.schema, size), **model.hparams)
    weights = []
    for old, new in zip_longest(model.weights, grown.weights):
        values = np.array(0) if old is None else old.numpy()
        shape = () if new is None else tuple(new.shape)
        is_table = values.ndim > 0 and (len(values), *shape) == (model.num_items, size, *values.shape[1:])
        if is_table:
            values = np.concatenate([values, np.repeat(values[[UNKNOWN]], size - len(values), axis=0)])
        elif values.shape != shape:
            raise UserError(
                f"{model.architecture} cannot take new items: with them, weights of the shape {values.shape} would "
                f"have the shape {shape}, which is not a row more for each. Train anew with them."
            )
        weights.append(values)
    grown.set_weights(weights)
    return grown


def _with_size(schema: Schema, size: int) -> Schema:
    """A schema with so many rows of items."""
    of_items = ("item", "history")
    return Schema(dataclasses.replace(f, size=size) if f.name in of_items else f for f in schema)


def _without(sample: Values, withdrawn: np.ndarray, item: Vocabulary) -> Values:
    """The sample of users without withdrawn items to be found, nor users who have nothing else to be found."""
    relevant = sample["relevant"].copy()
    relevant[np.isin(relevant, withdrawn)] = item.padding_value
    kept = (relevant != item.padding_value).any(axis=1)
    if not kept.any():
        return {**sample, "relevant": relevant[:, :0]}
    return {name: values[kept] for name, values in {**sample, "relevant": relevant}.items()}
