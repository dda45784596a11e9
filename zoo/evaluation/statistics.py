"""Metrics of single interactions as functions of row weights, because a bootstrap changes only the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

# A metric of a fixed set of rows, as a function of one weight per row. A row of weight 2 counts as two such rows. So a
# bootstrap resample is a call with other weights, and nothing is sorted anew.
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
        # The sum stays in one thread. A dot product would start all threads, which takes longer than the sum.
        return float(np.sum(of_positives * beaten) / pairs)

    return auc
