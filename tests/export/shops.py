"""Catalogues of the small data, and what bundles of it answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from export.formats import open_runtime

# How many items these bundles recommend.
K = 10
ITEM_FEATURES = ("title", "year", "genres")


def catalogue(dataset) -> pd.DataFrame:
    """The table of items that the small data was made from, from what is known of them."""
    item = dataset.vocabularies["item"]
    year = dataset.schema["year"]
    genres = dataset.items["genres"][2:]
    return pd.DataFrame(
        {
            "item": item.values,
            "title": dataset.titles[2:],
            "year": np.round(dataset.items["year"][2:] * year.std + year.mean).astype(int),
            "genres": ["|".join(dataset.vocabularies["genres"].lookup(row[row > 1])) for row in genres],
        }
    )


def row_of(items: pd.DataFrame, like: int, **others: Any) -> pd.DataFrame:
    """The row of an item, with other values in some columns."""
    return items[items["item"] == like].assign(**others)


def call(bundle, endpoint: str, **inputs: Any) -> dict[str, np.ndarray]:
    """Asks a bundle's only artefact one query of nobody in particular, except for the inputs given."""
    described = next(one for one in bundle.endpoints if one.name == endpoint)
    runtime = open_runtime(bundle.folder, bundle.artefacts[0], bundle.endpoints, bundle.version)
    nothing = {
        info.name: np.full([size or 1 for size in info.shape], info.padding, "O" if info.dtype == "string" else None)
        for info in described.inputs
    }
    return runtime.run(endpoint, nothing | {name: np.array(value) for name, value in inputs.items()})


def vectors_of(bundle, *items: int) -> np.ndarray:
    return call(bundle, "embed_items", items=list(items))["vectors"]


def recommended(bundle, **inputs: Any) -> list[int]:
    items = call(bundle, "recommend", **inputs)["items"][0].tolist()
    return [item for item in items if item != -1]
