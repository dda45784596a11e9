"""The scores of single interactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from zoo.evaluation.ranking import KNOWN_BEFORE

if TYPE_CHECKING:
    import pandas as pd

    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender

ROWS_AT_ONCE = 1024


def score_rows_in_order(model: Recommender, dataset: Dataset, rows: pd.DataFrame) -> np.ndarray:
    """The score of every interaction from what its user did before it, in the order of the rows.

    Args:
        model: The recommender.
        dataset: The prepared data.
        rows: Rows of its interactions, with their index.

    Returns:
        float32 `[num_rows]`.
    """
    return _scored(model, rows, lambda chunk: dataset.queries_before(model.query_names, chunk))


def score_rows(model: Recommender, dataset: Dataset, rows: pd.DataFrame, part: Part) -> np.ndarray:
    """The score of every interaction of a held-out part from what was known before the part, in the order of the rows.

    Args:
        model: The recommender.
        dataset: The prepared data.
        rows: Rows of its interactions.
        part: The part that they are of.

    Returns:
        float32 `[num_rows]`.
    """
    context = [feature for feature in dataset.schema.role("context") if feature.name in model.query_names]

    def query_of(chunk: pd.DataFrame) -> dict[str, np.ndarray]:
        asked = chunk["timestamp"].to_numpy() if dataset.is_ordered else None
        query = dataset.queries(model.query_names, chunk["user"].to_numpy(), *KNOWN_BEFORE[part], asked=asked)
        # Each interaction has a context of its own here.
        return {**query, **{f.name: np.stack(list(chunk[f.name])) for f in context}}

    return _scored(model, rows, query_of)


def _scored(
    model: Recommender, rows: pd.DataFrame, query_of: Callable[[pd.DataFrame], dict[str, np.ndarray]]
) -> np.ndarray:
    from zoo.families import check_finite_scores

    scores = np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows.iloc[start : start + ROWS_AT_ONCE]
        scores[start : start + ROWS_AT_ONCE] = model.score(query_of(chunk), chunk["item"].to_numpy())
    check_finite_scores(scores)
    return scores
