"""Metrics by name: what each is, whether a rise of it is good, and the function that computes it."""

# These files are imported first, because the metrics of the zoo are listed before those of plugins.
from zoo.evaluation.metrics import labels, ranking, ratings
from zoo.evaluation.metrics.base import (
    LOSS,
    METRICS,
    Metric,
    RankingMetric,
    RowMetric,
    base_name,
    gain,
    metrics_of,
    ranking_metric,
    row_metric,
)

__all__ = [
    "LOSS",
    "METRICS",
    "Metric",
    "RankingMetric",
    "RowMetric",
    "base_name",
    "gain",
    "labels",
    "metrics_of",
    "ranking",
    "ranking_metric",
    "ratings",
    "row_metric",
]
