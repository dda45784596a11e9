"""Metrics by name: what each is, whether a rise of it is good, and the function that computes it."""

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
    "metrics_of",
    "ranking_metric",
    "row_metric",
]
