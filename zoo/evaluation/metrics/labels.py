"""Metrics of logits against labels of 0 and 1, over rows and not over users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.errors import UserError
from zoo.evaluation.metrics.base import row_metric

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.statistics import MeanStatistic, Statistic

KIND = "labels"


@row_metric(KIND, is_rising=False)
def log_loss(rows: Mapping[str, np.ndarray]) -> MeanStatistic:
    """Log loss: the mean of `-log sigmoid(logit)` over positive and `-log sigmoid(-logit)` over negative rows.

    It is in nats. No probability is clipped.
    """
    import numpy as np

    from zoo.evaluation.statistics import MeanStatistic

    # The difference of log(1 + exp(x)) and y * x would cancel for a confident and right score.
    return MeanStatistic(np.logaddexp(0.0, np.where(_is_positive(rows), -rows["score"], rows["score"])))


@row_metric(KIND, is_rising=True)
def accuracy(rows: Mapping[str, np.ndarray]) -> MeanStatistic:
    """Accuracy: the share of rows whose label is 1 where the probability is above a half, and 0 elsewhere."""
    from zoo.evaluation.statistics import MeanStatistic

    return MeanStatistic(((rows["score"] > 0) == _is_positive(rows)).astype("float64"))


@row_metric(KIND, is_rising=True, is_of_order=True)
def auc(rows: Mapping[str, np.ndarray]) -> Statistic | None:
    """Area under the ROC curve: the chance that a positive row scores above a negative one, a tie counting half.

    Undefined where all labels are the same (Mann and Whitney, 1947, doi:10.1214/aoms/1177730491; equal to
    scikit-learn's `roc_auc_score`).
    """
    from zoo.evaluation.statistics import auc_statistic

    return auc_statistic(_is_positive(rows), rows["score"])


@row_metric(KIND, is_rising=True, is_of_order=True, columns=("is_cold",))
def auc_cold(rows: Mapping[str, np.ndarray]) -> Statistic | None:
    """AUC of the cold rows only, those about items of no training interaction."""
    from zoo.evaluation.statistics import auc_statistic

    (cold,) = rows["is_cold"].nonzero()
    of_cold = auc_statistic(_is_positive(rows)[cold], rows["score"][cold])
    return None if of_cold is None else lambda weights: of_cold(weights[cold])


def _is_positive(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    labels = rows["label"]
    is_binary = (labels == 0) | (labels == 1)
    if not is_binary.all():
        raise UserError(f"Expected labels of 0 or 1. Received: {labels[~is_binary][0]}.")
    return labels == 1
