"""Raw values, encoded by what was fitted in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from zoo.data.dataset import Dataset, neutral
from zoo.data.features import Column, plain_name, values_of_list
from zoo.data.table import Table
from zoo.data.text import encode_texts
from zoo.schema import PADDING, UNKNOWN, Feature, Role, Vocabulary


def encode_column(table: Table, column: str, feature: Feature, dataset: Dataset) -> np.ndarray:
    """The values of a column, encoded as those of a feature were in training.

    Args:
        table: The table.
        column: Its column.
        feature: The feature that the column holds raw values of.
        dataset: What was fitted: vocabularies and text encoders.

    Returns:
        `[rows, *feature.shape]` of the feature's dtype. A value that is missing or new is unknown.

    Raises:
        UserError: If a value of a numeric feature is no number, with its place, or the text encoder needs a package
            that is not installed.

    Example:

    >>> import pandas as pd
    >>> from zoo.data import load_dataset
    >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
    >>> ages = Table(pd.DataFrame({"age": [34, None]}), "users")
    >>> encode_column(ages, "age", data.schema["age"], data).shape
    (2,)
    """
    fitted = _FittedColumn(table, column, feature.role, {"kind": feature.kind})
    if feature.kind == "numeric":
        return fitted.numbers(feature)
    if feature.kind == "text":
        return fitted.vectors(feature, dataset.encoders[feature.name])
    vocabulary = dataset.vocabularies[feature.name]
    return fitted.categories(vocabulary) if feature.length is None else fitted.lists(feature, vocabulary)


def feature_names(column: str, role: Role) -> tuple[str, str, str]:
    """The names that the feature of a column can have, likeliest first.

    Example:

    >>> feature_names("zip code", "user")
    ('zip code', 'zip_code', 'user_zip_code')
    """
    plain = plain_name(column)
    return column, plain, f"{role}_{plain}"


class _FittedColumn(Column):
    """A column whose values are encoded by what was fitted to others."""

    def numbers(self, feature: Feature) -> np.ndarray:
        return np.nan_to_num((self._rows_of_numbers() - feature.mean) / feature.std).astype(np.float32)

    def vectors(self, feature: Feature, fitted: Mapping[str, object]) -> np.ndarray:
        codes, texts = self._distinct
        vectors = encode_texts(fitted, texts)
        return np.concatenate([vectors, np.zeros((1, feature.size), np.float32)])[codes]

    def categories(self, vocabulary: Vocabulary) -> np.ndarray:
        codes, texts = self._distinct
        return np.append(indices_of(vocabulary, texts), UNKNOWN).astype(np.int32)[codes]

    def lists(self, feature: Feature, vocabulary: Vocabulary) -> np.ndarray:
        codes, texts = self._distinct
        rows = np.repeat(neutral(feature)[None], len(texts) + 1, axis=0)
        for row, text in enumerate(texts):
            indices = indices_of(vocabulary, values_of_list(text, feature.separator))[: feature.length]
            rows[row, : len(indices)] = indices
        return rows[codes]


def indices_of(vocabulary: Vocabulary, values: Iterable[object]) -> np.ndarray:
    """The indices of raw values, where one that happens to be the padding value is as unknown as any other."""
    indices = vocabulary.index(values)
    return np.where(indices == PADDING, UNKNOWN, indices)
