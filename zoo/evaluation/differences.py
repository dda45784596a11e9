"""The difference between two evaluations of the same users or rows, and whether resampling can tell it from 0."""

from __future__ import annotations

from zoo.evaluation.bootstrap import cluster_interval, difference_interval
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.interval import Interval, Resampling
from zoo.evaluation.metrics import gain
from zoo.evaluation.statistics import Statistic

BETTER, WORSE = "better", "worse"


def paired_interval(metric: str, a: Evaluation, b: Evaluation, resampling: Resampling) -> Interval:
    """A metric of `a` minus that of `b`, with its bootstrap interval over the users that both have in common.

    Args:
        metric: A metric that both have.
        a: An evaluation.
        b: An evaluation of the same users, in the same order.
        resampling: How the interval is made.

    Returns:
        An `Interval` around the difference.
    """
    if metric in b.per_user:
        return difference_interval(a.per_user[metric], b.per_user[metric], **resampling)
    return cluster_interval(_difference_of(a.statistics[metric], b.statistics[metric]), b.row_users, **resampling)


def verdict(metric: str, interval: Interval, resamples: int) -> str:
    """What an interval around a difference says.

    Args:
        metric: The metric.
        interval: Around its difference.
        resamples: How many resamples made it.

    Returns:
        `"better"`, `"worse"`, or that the resamples can tell no difference.

    Example:

    >>> verdict("rmse", Interval(-0.2, -0.3, -0.1, level=0.95), resamples=1000)
    'better'
    """
    if interval.low <= 0 <= interval.high:
        return f"no difference that {resamples:,} resamples can tell"
    return BETTER if gain(metric, interval.mean, 0) > 0 else WORSE


def _difference_of(a: Statistic, b: Statistic) -> Statistic:
    return lambda weights: a(weights) - b(weights)
