"""Metrics of single interactions as functions of row weights, which is what a bootstrap needs of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from zoo.errors import UserError
from zoo.evaluation.metrics import RowMetric, metrics_of

# A metric of a fixed set of rows, as a function of one weight per row. A row of weight 2 counts as if it
# were there twice, so a bootstrap resample is a call with other weights and nothing is sorted anew.
Statistic: TypeAlias = Callable[[np.ndarray], float]


@dataclasses.dataclass(frozen=True)
class MeanStatistic:
    """A `Statistic` that is the weighted mean of one value a row, or the square root of that mean.

    Sums of its values, taken by user once, are all that a bootstrap over users needs of the rows.

    Args:
        values: float64 `[num_rows]`.
        root: Whether the square root is taken.

    Example:

    >>> MeanStatistic(np.array([1.0, 4.0]), root=True)(np.array([0.0, 2.0]))
    2.0
    """

    values: np.ndarray
    root: bool = False

    def __call__(self, weights: np.ndarray) -> float:
        """The statistic of rows with these weights, `[num_rows]`."""
        return float(self.finish(np.average(self.values, weights=weights)))

    def finish(self, means: np.ndarray) -> np.ndarray:
        """The statistic of weighted means of the values, of any shape."""
        return np.sqrt(means) if self.root else means


def auc_statistic(is_positive: np.ndarray, scores: np.ndarray) -> Statistic | None:
    """The chance that a positive row scores above a negative one, as a function of row weights.

    Args:
        is_positive: bool `[num_rows]`.
        scores: float `[num_rows]`.

    Returns:
        A `Statistic` that gives NaN for weights that leave only one class; `None` if there is only one.

    Example:

    >>> auc = auc_statistic(np.array([False, False, True]), np.array([-2.0, 1.0, 0.5]))
    >>> auc(np.array([1, 1, 1])), auc(np.array([3, 1, 1]))
    (0.5, 0.75)
    """
    if not 0 < is_positive.sum() < len(is_positive):
        return None
    positives, negatives = (
        rows[np.argsort(scores[rows])] for rows in (np.flatnonzero(is_positive), np.flatnonzero(~is_positive))
    )
    # The first below[i] of the negatives, in order, are beaten by positive i, and those up to tied[i] tie with it.
    below = np.searchsorted(scores[negatives], scores[positives], side="left")
    tied = np.searchsorted(scores[negatives], scores[positives], side="right")

    def auc(weights: np.ndarray) -> float:
        of_positives = weights[positives]
        of_negatives = np.concatenate([[0.0], np.cumsum(weights[negatives])])
        pairs = of_positives.sum() * of_negatives[-1]
        if pairs == 0:
            return float("nan")
        beaten = (of_negatives[below] + of_negatives[tied]) / 2
        # A dot product would wake all threads to do so little.
        return float(np.sum(of_positives * beaten) / pairs)

    return auc


def row_statistics(kind: str, rows: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
    """The metrics of single interactions, as functions of row weights.

    Args:
        kind: The kind of metrics, `"labels"` or `"ratings"`.
        rows: `label` and `score` of every interaction, and whatever else metrics may read (`is_cold`), `[num_rows]`.

    Returns:
        A `Statistic` by metric. A metric that these rows leave undefined is left out, as an AUC where all labels are
        the same.

    Raises:
        UserError: If the shapes differ, there are no rows, a value is not finite, or a label is not of the kind.

    Example:

    >>> rows = {"label": np.array([3.0, 5.0]), "score": np.array([4.0, 5.0])}
    >>> row_statistics("ratings", rows)["mae"](np.array([1, 3]))
    0.25
    """
    labels, scores = _checked_rows(rows["label"], rows["score"])
    checked = {**rows, "label": labels, "score": scores}
    found = {
        metric.name: metric.function(checked)
        for metric in metrics_of(kind, checked.keys())
        if isinstance(metric, RowMetric)
    }
    return {name: statistic for name, statistic in found.items() if statistic is not None}


def row_metrics(kind: str, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The metrics of single interactions, each of which counts once; for arguments and errors see `row_statistics`.

    Example:

    >>> row_metrics("ratings", {"label": np.array([3.0, 5.0]), "score": np.array([4.0, 4.0])})
    {'rmse': 1.0, 'mae': 1.0}
    """
    return {name: statistic(np.ones(len(rows["label"]))) for name, statistic in row_statistics(kind, rows).items()}


def _checked_rows(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape or not labels.size:
        raise UserError(
            "Expected one label and one score for each of at least 1 row. "
            f"Received shapes: {labels.shape}, {scores.shape}."
        )
    for what, values in (("label", labels), ("score", scores)):
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise UserError(f"Expected finite {what}s. Received: {values[row]} in row {row}.")
    return labels, scores
