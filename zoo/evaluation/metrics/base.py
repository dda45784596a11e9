"""The class of metrics and their registry. Nothing heavy is imported, because `zoo list` reads tables of results."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from zoo.registries import Registry

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.hits import Hits
    from zoo.evaluation.statistics import Statistic

# The training loss, which early stopping may watch. It is no metric of an evaluation, and it falls.
LOSS = "loss"

# The kind of the metrics of a user's ranking. The kinds of metrics of rows are named where they are registered.
RANKING = "ranking"

RankingFunction: TypeAlias = "Callable[[Hits, np.ndarray, int], np.ndarray]"
RowFunction: TypeAlias = "Callable[[Mapping[str, np.ndarray]], Statistic | None]"

AnyRankingFunction = TypeVar("AnyRankingFunction", bound=RankingFunction)
AnyRowFunction = TypeVar("AnyRowFunction", bound=RowFunction)

_places = itertools.count()


class Metric:
    """One metric. Its name and its docstring are those of its function.

    Args:
        function: The function that computes the metric. Its docstring says the formula.
        kind: The kind of data it is computed from: `"ranking"`, `"labels"` or `"ratings"`.
        is_rising: Whether more is better.
        is_of_order: Whether it reads only the order of the scores. A monotone change of the scores does not change it.
    """

    def __init__(self, function: Callable[..., object], kind: str, is_rising: bool, is_of_order: bool) -> None:
        self.__doc__ = function.__doc__
        self.name: str = function.__name__
        self.kind, self.is_rising, self.is_of_order = kind, is_rising, is_of_order
        # Metrics are listed in the order in which their files define them.
        self.place = next(_places)

    @property
    def formula(self) -> str:
        """The definition of the metric, as its docstring says it."""
        return inspect.getdoc(self) or ""

    def __repr__(self) -> str:
        return f"<{self.kind} metric {self.name!r}, {'more' if self.is_rising else 'less'} is better>"


class RankingMetric(Metric):
    """A metric of a user's ranking, cut at a rank k.

    Args:
        function: Gets `hits` (bool `[num_users, num_ranks]`, whether the item at each rank is a held-out item of the
            user), `num_relevant` (int `[num_users]`, held-out items of each user, at least 1) and `k` (from 1 to
            `num_ranks`), and gives the value of each user, `[num_users]`. The mean over users is the figure to report.
        is_rising: Whether more is better.
    """

    def __init__(self, function: RankingFunction, is_rising: bool = True) -> None:
        super().__init__(function, RANKING, is_rising, is_of_order=True)
        self.function = function


class RowMetric(Metric):
    """A metric of single interactions with their labels.

    Args:
        function: Gets the rows by column, `label` and `score` (both finite float64 `[num_rows]`) and the `columns`, and
            gives a `Statistic`, or `None` where the metric is undefined for these rows.
        kind: The kind of the labels, `"labels"` (0 or 1, the scores are logits) or `"ratings"`.
        is_rising: Whether more is better.
        is_of_order: Whether it reads only the order of the scores.
        columns: Further columns that it reads. Only protocols that give them have this metric.
    """

    def __init__(
        self,
        function: RowFunction,
        kind: str,
        is_rising: bool,
        is_of_order: bool = False,
        columns: tuple[str, ...] = (),
    ) -> None:
        super().__init__(function, kind, is_rising, is_of_order)
        self.function, self.columns = function, columns


METRICS: Registry[Metric] = Registry("metric", "zoo.evaluation.metrics", "zoo.metrics")


def ranking_metric(*, is_rising: bool = True) -> Callable[[AnyRankingFunction], AnyRankingFunction]:
    """Registers a function as a `RankingMetric` of its own name.

    Args:
        is_rising: Whether more is better.

    Example:

    >>> @ranking_metric()
    ... def first_hit(hits, num_relevant, k):
    ...     "1 if the best item is held out, else 0."
    ...     return hits[:, 0]
    >>> METRICS["first_hit"].formula
    '1 if the best item is held out, else 0.'
    """

    def register(function: AnyRankingFunction) -> AnyRankingFunction:
        METRICS.register(RankingMetric(function, is_rising))
        return function

    return register


def row_metric(
    kind: str, *, is_rising: bool, is_of_order: bool = False, columns: tuple[str, ...] = ()
) -> Callable[[AnyRowFunction], AnyRowFunction]:
    """Registers a function as a `RowMetric` of its own name.

    Args:
        kind: The kind of the labels, `"labels"` (0 or 1, the scores are logits) or `"ratings"`.
        is_rising: Whether more is better.
        is_of_order: Whether the metric reads only the order of the scores.
        columns: Columns that it reads in addition to `label` and `score`.

    Example:

    >>> from zoo.evaluation.statistics import MeanStatistic
    >>> @row_metric("ratings", is_rising=False)
    ... def bias(rows):
    ...     "The mean of `prediction - label`."
    ...     return MeanStatistic(rows["score"] - rows["label"])
    >>> METRICS["bias"]
    <ratings metric 'bias', less is better>
    """

    def register(function: AnyRowFunction) -> AnyRowFunction:
        METRICS.register(RowMetric(function, kind, is_rising, is_of_order, columns))
        return function

    return register


def metrics_of(kind: str, columns: Collection[str] = ()) -> list[Metric]:
    """The metrics of a kind in the order of their definition.

    Args:
        kind: The kind, `"ranking"`, `"labels"` or `"ratings"`.
        columns: The columns of rows that there are in addition to `label` and `score`. A metric that needs another one
            is left out.

    Returns:
        The metrics.

    Example:

    >>> [metric.name for metric in metrics_of("ratings")]
    ['rmse', 'mae']
    """
    found = [metric for metric in METRICS.values() if metric.kind == kind]
    there = [metric for metric in found if not (isinstance(metric, RowMetric) and set(metric.columns) - set(columns))]
    return sorted(there, key=lambda metric: metric.place)


def base_name(metric: str) -> str:
    """The name of a metric without its cut, `"ndcg"` of `"ndcg@10"`."""
    return metric.split("@")[0]


def gain(metric: str, value: float, other: float) -> float:
    """The gain of a value of a metric over another one, which is negative where it is worse.

    Args:
        metric: A metric such as `"ndcg@10"`, or the training `"loss"`.
        value: A value of it.
        other: The value to compare with.

    Returns:
        The difference, positive where `value` is the better one.

    Raises:
        UserError: If there is no such metric.

    Example:

    >>> gain("rmse", 0.75, 1.0)
    0.25
    """
    is_rising = metric != LOSS and METRICS[base_name(metric)].is_rising
    return value - other if is_rising else other - value
