"""Percentile bootstrap intervals over users (Efron, 1979, doi:10.1214/aos/1176344552).

Users are drawn, never rows. The rows of one user are alike, so an interval that treats them as independent is too
narrow. The same seed and the same number of users draw the same users, so the intervals of all the metrics of a run
belong to the same resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from zoo.errors import UserError
from zoo.evaluation.interval import Interval
from zoo.evaluation.statistics import MeanStatistic, Statistic
from zoo.memory import check_memory

# Counts of draws (resamples x users) made at once: few enough to stay in the cache of a processor.
COUNTS_AT_ONCE = 2**16
# A processor draws about so many users in a second, and an interval may take an hour.
DRAWS_PER_SECOND, MOST_SECONDS = 30_000_000, 3600


def mean_interval(values: np.ndarray, *, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """The mean of a per-user metric, with its interval.

    Args:
        values: The metric of each user, float `[num_users]`.
        resamples: How often as many users as there are get drawn, with replacement.
        level: The share of resamples inside the interval.
        seed: Seed of the draws.

    Returns:
        An `Interval`.

    Raises:
        UserError: If there are no values, one is not finite, or a setting is out of range.

    Example:

    >>> interval = mean_interval(np.array([0.0, 0.0, 0.0, 1.0]))
    >>> interval.mean, interval.low, interval.high
    (0.25, 0.0, 0.75)
    """
    return mean_intervals({"metric": values}, resamples=resamples, level=level, seed=seed)["metric"]


def mean_intervals(
    metrics: Mapping[str, np.ndarray], *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """The means of several metrics of the same users, with the intervals that `mean_interval` gives each of them.

    Users are drawn once for all metrics, and each resample of all of them is a row of one matrix product.

    Args:
        metrics: The metric of each user, float `[num_users]`, by name.
        resamples: How often as many users as there are get drawn, with replacement.
        level: The share of resamples inside the interval.
        seed: Seed of the draws.

    Returns:
        An `Interval` by name.

    Raises:
        UserError: If metrics differ in length, or `mean_interval` refuses one of them.

    Example:

    >>> mean_intervals({"hr@1": np.array([0.0, 0.0, 0.0, 1.0])})["hr@1"].high
    0.75
    """
    shapes = {np.shape(values) for values in metrics.values()}
    if len(shapes) != 1:
        raise UserError(f"Expected metrics of the same users. Received shapes: {sorted(shapes)}.")
    (shape,) = shapes
    matrix = np.stack([np.asarray(values, dtype=np.float64) for values in metrics.values()], axis=-1)
    if len(shape) != 1 or not np.isfinite(matrix).all():
        raise UserError(f"Expected finite values [num_users]. Received shape {shape}: {list(metrics.values())}.")
    _check(len(matrix), resamples, level)
    check_resamples(len(matrix), resamples, len(metrics))
    means = np.concatenate([counts @ matrix for counts in _draws(len(matrix), resamples, seed)]) / len(matrix)
    return {
        name: _interval(float(matrix[:, column].mean()), means[:, column], level) for column, name in enumerate(metrics)
    }


def difference_interval(
    a: np.ndarray, b: np.ndarray, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """The mean of `a - b` over the same users, with its interval: the paired comparison of two runs.

    Most differences between users are common to both runs and cancel. So the interval tells runs apart that two
    separate intervals do not. An interval that excludes 0 is a difference at that level.

    Args:
        a: The metric of each user under one run, float `[num_users]`.
        b: The metric of the same users, in the same order, under the other run.
        resamples: How often as many users as there are get drawn, with replacement.
        level: The share of resamples inside the interval.
        seed: Seed of the draws.

    Returns:
        An `Interval`.

    Raises:
        UserError: If `a` and `b` differ in length, or `mean_interval` refuses their difference.

    Example:

    >>> difference_interval(np.array([0.5, 1.0]), np.array([0.25, 0.75]))
    Interval(mean=0.25, low=0.25, high=0.25, level=0.95)
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise UserError(f"Expected values of the same users. Received shapes: {a.shape}, {b.shape}.")
    return mean_interval(a - b, resamples=resamples, level=level, seed=seed)


def cluster_interval(
    statistic: Statistic, groups: np.ndarray, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """A metric that is no mean over users (RMSE, log loss, AUC), with its interval over users.

    A user who is drawn twice brings all rows twice: the weight of a row is the number of draws of its user. Two runs
    are compared by a statistic that is the difference of theirs.

    Args:
        statistic: The metric as a function of row weights, float64 `[num_rows]`, such as those of
            `row_statistics`.
        groups: The user of each row, `[num_rows]`.
        resamples: How often as many users as there are get drawn, with replacement.
        level: The share of resamples inside the interval.
        seed: Seed of the draws.

    Returns:
        An `Interval`. Resamples whose statistic is NaN, such as an AUC without a positive row, are left out.

    Raises:
        UserError: If there are no rows, a setting is out of range, or the statistic is NaN for all rows
            or for every resample.

    Example:

    >>> from zoo.evaluation.figures import row_statistics
    >>> rows = {"label": np.array([1.0, 2.0, 3.0]), "score": np.array([2.0, 1.0, 3.0])}
    >>> rmse = row_statistics("ratings", rows)["rmse"]
    >>> interval = cluster_interval(rmse, groups=np.array(["ann", "ann", "bob"]))
    >>> interval.low, interval.high
    (0.0, 1.0)
    """
    groups = np.asarray(groups)
    if groups.ndim != 1:
        raise UserError(f"Expected the user of each row, in one dimension. Received shape: {groups.shape}.")
    _check(len(groups), resamples, level)
    users, user_of_row = np.unique(groups, return_inverse=True)
    check_resamples(len(users), resamples)
    if isinstance(statistic, MeanStatistic):
        columns = np.stack([np.bincount(user_of_row, statistic.values), np.bincount(user_of_row)], axis=1)
        sums = np.concatenate([counts @ columns for counts in _draws(len(users), resamples, seed)])
        estimates = statistic.finish(sums[:, 0] / sums[:, 1])
    else:
        estimates = np.array(
            [statistic(row[user_of_row]) for counts in _draws(len(users), resamples, seed) for row in counts]
        )
    figure = statistic(np.ones(len(groups)))
    estimates = estimates[~np.isnan(estimates)]
    if np.isnan(figure) or not estimates.size:
        raise UserError(
            "The metric is undefined for these rows: an AUC, for example, needs labels of both kinds. "
            "Hold out more rows."
        )
    return _interval(figure, estimates, level)


def check_resamples(num_users: int, resamples: int, num_metrics: int = 1) -> None:
    """Raises a `UserError` if the intervals of metrics would take more time or memory than there is.

    Args:
        num_users: The users of each resample.
        resamples: How often so many users are drawn.
        num_metrics: How many metrics have an interval.
    """
    hours = num_users * resamples / DRAWS_PER_SECOND / 3600
    advice = "Choose fewer, e.g. evaluate.resamples=1000."
    if hours * 3600 > MOST_SECONDS:
        raise UserError(
            f"{resamples:,} resamples of {num_users:,} users would take about {hours:,.0f} hours "
            f"(evaluate.resamples). {advice}"
        )
    # The means of all resamples, once in parts and once together.
    check_memory(f"Keeping {resamples:,} resamples (evaluate.resamples)", 16 * num_metrics * resamples, advice)


def _draws(num_users: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each user is drawn in each resample, float64 `[some_resamples, num_users]`, block after block."""
    random = np.random.default_rng(seed)
    at_once = max(1, COUNTS_AT_ONCE // num_users)
    for start in range(0, resamples, at_once):
        number = min(at_once, resamples - start)
        draws = random.integers(num_users, size=(number, num_users))
        draws += np.arange(number)[:, None] * num_users
        counts = np.bincount(draws.reshape(-1), minlength=number * num_users)
        yield counts.reshape(number, num_users).astype(np.float64)


def _interval(figure: float, estimates: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(figure, low, high, level)


def _check(number: int, resamples: int, level: float) -> None:
    if not number:
        raise UserError("Expected at least 1 value. Received none.")
    if resamples < 1 or not 0 < level < 1:
        raise UserError(
            f"Expected resamples of at least 1 and a level between 0 and 1. Received: {resamples}, {level}."
        )
