"""Metrics of predicted ratings against ratings on the same scale, over rows and not over users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.evaluation.metrics.base import row_metric

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.statistics import MeanStatistic

KIND = "ratings"


@row_metric(KIND, is_rising=False)
def rmse(rows: Mapping[str, np.ndarray]) -> MeanStatistic:
    """Root mean square error: the square root of the mean of `(prediction - label) ** 2`."""
    from zoo.evaluation.statistics import MeanStatistic

    return MeanStatistic((rows["score"] - rows["label"]) ** 2, root=True)


@row_metric(KIND, is_rising=False)
def mae(rows: Mapping[str, np.ndarray]) -> MeanStatistic:
    """Mean absolute error: the mean of `|prediction - label|`."""
    from zoo.evaluation.statistics import MeanStatistic

    return MeanStatistic(abs(rows["score"] - rows["label"]))
