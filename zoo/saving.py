"""Recommenders and datasets on disk, as arrays and JSON, without pickles and code."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from zoo.arrays import array_shapes, load_arrays, open_arrays, save_arrays
from zoo.data.dataset import STREAM, Dataset
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError
from zoo.families import Recommender, check_finite
from zoo.families.contracts import Recipe
from zoo.registry import build
from zoo.schema import Schema

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
    model.set_weights(list(load_arrays(folder / WEIGHTS).values()))
    return model


def read_dataset(folder: Path) -> Dataset:
    """The dataset that `Dataset.save` wrote into a folder."""
    kind = StreamedDataset if (folder / STREAM).exists() else Dataset
    return kind(**kind.fields_of(folder))


def read_preprocessing(folder: Path) -> Dataset:
    """What `Dataset.save_preprocessing` wrote: a dataset without interactions, users and items."""
    return Dataset(**Dataset.fitted_of(folder), interactions=pd.DataFrame())
