"""The metrics of every protocol and what is good in them; imports nothing, so that tables of results are fast."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.errors import unknown_name

_OF_RANKINGS = ("hr", "recall", "precision", "ndcg", "map", "mrr")

METRICS = {
    "ctr": ("log_loss", "auc", "accuracy", "auc_cold"),
    "full-ranking": _OF_RANKINGS,
    "labels": ("log_loss", "auc", "accuracy"),
    "ratings": ("rmse", "mae"),
    "sampled-ranking": _OF_RANKINGS,
}

# The metric that stands for a protocol where there is room for one.
HEADLINE = {"ctr": "auc", "full-ranking": "ndcg", "labels": "auc", "ratings": "rmse", "sampled-ranking": "hr"}

# Metrics of which less is better.
FALLING = ("rmse", "mae", "log_loss", "loss")


def metric_names(protocol: str, ks: Sequence[int]) -> list[str]:
    """The metrics a protocol gives.

    Args:
        protocol: A named protocol.
        ks: Where the ranking metrics are cut.

    Returns:
        Names such as `"ndcg@10"`, or `"rmse"` where nothing is cut.

    Raises:
        UserError: With the near names, if there is no such protocol.

    Example:

    >>> metric_names("ratings", ks=(10,))
    ['rmse', 'mae']
    """
    if protocol not in METRICS:
        raise unknown_name("protocol", protocol, METRICS)
    if is_of_rows(protocol):
        return list(METRICS[protocol])
    return [f"{metric}@{k}" for k in ks for metric in METRICS[protocol]]


def is_of_rows(protocol: str) -> bool:
    """Whether a protocol asks about single interactions, and so its metrics are cut nowhere."""
    return METRICS[protocol] is not _OF_RANKINGS


def is_headline(protocol: str, metric: str) -> bool:
    """Whether a metric such as `"ndcg@10"` stands for its protocol."""
    return metric.split("@")[0] == HEADLINE[protocol]


def gain(metric: str, value: float, other: float) -> float:
    """By how much a value of a metric is better than another one; negative where it is worse.

    Example:

    >>> gain("rmse", 0.75, 1.0)
    0.25
    """
    return other - value if metric.split("@")[0] in FALLING else value - other
