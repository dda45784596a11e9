"""Metrics by name: what each is, whether a rise of it is good, and the function that computes it."""

# The usual metrics are listed before those of anybody else, so their files are imported first.
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
