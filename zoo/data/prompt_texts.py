"""The words of a dataset: what a prompt for a language model says of items, ratings and users."""

from __future__ import annotations

import numpy as np

from zoo.data.dataset import Dataset
from zoo.layers.prompts import Texts, known_texts
from zoo.schema import FIRST_KNOWN


def prompt_texts(dataset: Dataset) -> Texts:
    """The titles of items (their raw ids, where there are none), the values of users' features, and the ratings.

    Args:
        dataset: The prepared data.

    Returns:
        `Texts`.
    """
    features = [feature for feature in dataset.schema.side_features("user") if feature.kind != "text"]
    ratings = dataset.interactions["rating" if "rating" in dataset.interactions else "label"]
    numbers = {"history_rating": ratings.to_numpy(np.float64)}
    for feature in features:
        if feature.kind == "numeric":
            # A standardised number is a float32, so its last digits are not those of the raw one.
            raw = dataset.users[feature.name][FIRST_KNOWN:].astype(np.float64) * feature.std + feature.mean
            numbers[feature.name] = np.round(raw, 3)
    return Texts(
        titles=known_texts(dataset.titles[FIRST_KNOWN:]),
        values={f.name: known_texts(dataset.vocabularies[f.name].values) for f in features if f.kind == "categorical"},
        numbers=numbers,
    )
