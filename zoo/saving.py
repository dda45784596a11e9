"""Recommenders and datasets on disk, as arrays and JSON, without pickles and code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.arrays import array_shapes, load_arrays, open_arrays, save_arrays
from zoo.data.dataset import STREAM, Dataset
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError
from zoo.families import Recommender, check_finite
from zoo.families.contracts import Recipe
from zoo.files import parsing
from zoo.registry import build
from zoo.schema import Role, Schema

RECIPE = "recipe.json"
WEIGHTS = "weights.npz"


def rebuild(recipe: Recipe) -> Recommender:
    """The architecture that a recipe describes, with the weights it starts from."""
    return build(recipe["name"], Schema.from_json(recipe["schema"]), **recipe["hparams"])


# `keras.saving.load_model` opens with it what `model.save` wrote: the recipe builds every layer, so layers that hold
# functions or networks need no config of their own.
Recommender.rebuild = staticmethod(rebuild)


def write_recommender(model: Recommender, folder: Path) -> None:
    """Writes `recipe.json` and `weights.npz` into an existing folder.

    Raises:
        UserError: If a weight is not finite.
    """
    check_finite(model)
    recipe = json.dumps(model.recipe, indent=2, ensure_ascii=False)
    (folder / RECIPE).write_text(recipe, encoding="utf-8")
    # In the order in which they were made, which the recipe repeats. Names would depend on what was built before.
    weights = {f"{index:04d}": value for index, value in enumerate(model.get_weights())}
    save_arrays(folder / WEIGHTS, weights, compressed=False)


def read_recommender(folder: Path) -> Recommender:
    """The recommender that `write_recommender` wrote.

    Raises:
        UserError: If its architecture has changed since.
    """
    with parsing(folder / RECIPE, "a recipe"):
        recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
        model = rebuild(recipe)
    with open_arrays(folder / WEIGHTS):
        shapes = [shape for shape, _ in array_shapes(folder / WEIGHTS).values()]
    # Before anything is unpacked, because a small file may unpack to more than there is memory.
    if shapes != [tuple(weight.shape) for weight in model.weights]:
        raise UserError(
            f"{folder}: its weights do not fit the architecture {recipe['name']!r} as it is now, "
            "so it was changed since. Train anew, or use the version that made the run."
        )
    with parsing(folder / WEIGHTS, "weights of this architecture"):
        model.set_weights(list(load_arrays(folder / WEIGHTS).values()))
        check_finite(model)
    return model


def read_dataset(folder: Path) -> Dataset:
    """The dataset that `Dataset.save` wrote into a folder.

    Raises:
        UserError: If a file of it cannot be read, or the files do not fit each other.
    """
    with parsing(folder, "prepared data"):
        kind = StreamedDataset if (folder / STREAM).exists() else Dataset
        dataset = kind(**kind.fields_of(folder))
        _check_fit(dataset)
    return dataset


def read_preprocessing(folder: Path) -> Dataset:
    """What `Dataset.save_preprocessing` wrote: a dataset without interactions, users and items.

    Raises:
        UserError: If a file of it cannot be read.
    """
    with parsing(folder, "what was fitted to data"):
        return Dataset(**Dataset.fitted_of(folder), interactions=pd.DataFrame())


def _check_fit(dataset: Dataset) -> None:
    """Raises a `UserError` unless all tables are of the users and items of the vocabularies."""
    rows = dataset.interactions
    tables: dict[Role, tuple[Mapping[str, np.ndarray], int]] = {
        "user": (dataset.users, dataset.num_users),
        "item": ({**dataset.items, "title": dataset.titles}, dataset.num_items),
    }
    for role, (table, size) in tables.items():
        for feature in dataset.schema.role(role):
            if feature.name == role:
                continue
            if feature.name not in table:
                raise UserError(f"The table of {role}s has no {feature.name!r}. Make it anew.")
            values = table[feature.name]
            if feature.is_indexed and not ((values >= 0) & (values < feature.size)).all():
                raise UserError(f"{feature.name!r} has values above its {feature.size} categories. Make it anew.")
        for name, values in table.items():
            if len(values) != size:
                raise UserError(f"{name!r} has {len(values)} rows for {size} {role}s. Make it anew.")
        if not pd.api.types.is_integer_dtype(rows[role]) or not rows[role].between(0, size - 1).all():
            raise UserError(f"The interactions are of other {role}s than the vocabulary. Make it anew.")
    for name in ("label", "part"):
        if rows[name].isna().any():
            raise UserError(f"Interactions have no {name}. Make it anew.")
