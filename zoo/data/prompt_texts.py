"""The words of a dataset: what a prompt for a language model says of items, ratings and users."""

from __future__ import annotations

import numpy as np

from zoo.data.dataset import Dataset
from zoo.layers.prompts import Texts, known_texts
from zoo.schema import FIRST_KNOWN, Feature


def prompt_texts(dataset: Dataset) -> Texts:
    """The titles of items (their raw ids, where there are none), the values of users' features, and the ratings.

    Args:
        dataset: The prepared data.

    Returns:
        `Texts`.
    """
    features = [feature for feature in dataset.schema.side_features("user") if feature.kind != "text"]
    ratings = dataset.interactions["rating" if "rating" in dataset.interactions else "label"].to_numpy(np.float64)
    numbers = {feature.name: _raw_numbers(dataset, feature) for feature in features if feature.kind == "numeric"}
    return Texts(
        titles=known_texts(dataset.titles[FIRST_KNOWN:]),
        values={f.name: known_texts(dataset.vocabularies[f.name].values) for f in features if f.kind == "categorical"},
        numbers={"history_rating": ratings, **numbers},
    )


def _raw_numbers(dataset: Dataset, feature: Feature) -> np.ndarray:
    """The numbers of users as they were written."""
    raw = dataset.users[feature.name][FIRST_KNOWN:].astype(np.float64) * feature.std + feature.mean
    # A standardised number is a float32, so its last digits are not those of the raw one.
    return np.round(raw, 3)
