"""The result of an evaluation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NotRequired, TypedDict

from zoo.evaluation.interval import Interval, IntervalJson

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.statistics import Statistic


class MarginJson(TypedDict):
    """A `Margin`, JSON-ready."""

    metric: str
    difference: IntervalJson
    verdict: str
    users: int
    advice: list[str]


class EvaluationJson(TypedDict):
    """An `Evaluation`, JSON-ready."""

    protocol: str
    about: str
    metrics: dict[str, IntervalJson]
    without_context: dict[str, IntervalJson]
    beside_popularity: NotRequired[MarginJson]


@dataclasses.dataclass(frozen=True)
class Margin:
    """A recommender beside popularity on the same users.

    Args:
        metric: The metric that stands for the protocol.
        difference: Its figure minus that of popularity, with the paired bootstrap interval.
        verdict: `"better"`, `"worse"`, or that the resamples can tell no difference.
        users: How many users both were asked about.
        advice: What to try, where it is not better.

    Example:

    >>> print(Margin("ndcg@10", Interval(0.02, 0.01, 0.03, level=0.95), "better", 671))
    Beside popularity: better, ndcg@10 differs by +0.0200 [+0.0100, +0.0300] (paired over 671 users).
    """

    metric: str
    difference: Interval
    verdict: str
    users: int
    advice: tuple[str, ...] = ()

    def to_json(self) -> MarginJson:
        """The margin, JSON-ready."""
        return {
            "metric": self.metric,
            "difference": self.difference.to_json(),
            "verdict": self.verdict,
            "users": self.users,
            "advice": list(self.advice),
        }

    @classmethod
    def of(cls, evaluation: EvaluationJson) -> Margin | None:
        """The margin that an evaluation was noted with, if it was."""
        return cls.from_json(evaluation["beside_popularity"]) if "beside_popularity" in evaluation else None

    @classmethod
    def from_json(cls, value: MarginJson) -> Margin:
        """The margin that `to_json` described."""
        difference = Interval(**value["difference"])
        return cls(value["metric"], difference, value["verdict"], value["users"], tuple(value["advice"]))

    def __str__(self) -> str:
        ends = f"{self.difference.mean:+.4f} [{self.difference.low:+.4f}, {self.difference.high:+.4f}]"
        said = f"Beside popularity: {self.verdict}, {self.metric} differs by {ends} (paired over {self.users:,} users)."
        return " ".join([said, *self.advice])


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation:
    """Metrics with the protocol that gave them.

    Args:
        protocol: The protocol's name.
        about: One sentence on what was asked, with its numbers.
        metrics: A bootstrap interval over users for every metric.
        users: The user indices evaluated, in order.
        per_user: The value of every user for ranking metrics, to compare runs pairwise.
        statistics: Each metric of rows as a function of row weights, to compare runs pairwise too.
        rows: The columns that the statistics are made of: `user` (index), `label` and `score` of every row, and further
            columns that the protocol has.
        without_context: The ranking metrics of a request that names no context, as a server may get it; empty where
            the model reads none.
        margin: The comparison with popularity, where there is one.
    """

    protocol: str
    about: str
    metrics: dict[str, Interval]
    users: np.ndarray
    per_user: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Statistic] = dataclasses.field(default_factory=dict)
    rows: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    without_context: dict[str, Interval] = dataclasses.field(default_factory=dict)
    margin: Margin | None = None

    @property
    def row_users(self) -> np.ndarray:
        """The user index of every row."""
        return self.rows["user"]

    def of_users(self, users: np.ndarray) -> Evaluation:
        """The same with the values of some of its users only, given in ascending order. Rows stay as they are."""
        places = self.users.searchsorted(users)
        return dataclasses.replace(
            self, users=users, per_user={name: values[places] for name, values in self.per_user.items()}
        )

    def to_json(self) -> EvaluationJson:
        """The metrics, JSON-ready."""
        described: EvaluationJson = {
            "protocol": self.protocol,
            "about": self.about,
            "metrics": {name: interval.to_json() for name, interval in self.metrics.items()},
            "without_context": {name: interval.to_json() for name, interval in self.without_context.items()},
        }
        if self.margin is not None:
            described["beside_popularity"] = self.margin.to_json()
        return described

    def __str__(self) -> str:
        lines = [f"{self.protocol}: {self.about}", *map(self._line, self.metrics)]
        return "\n".join(lines if self.margin is None else [*lines, f"  {self.margin}"])

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {interval.mean:.4f}" for name, interval in self.metrics.items())
        return f"<Evaluation by {self.protocol} of {len(self.users):,} users: {figures}>"

    def _line(self, metric: str) -> str:
        width = max(map(len, self.metrics))
        without = f"  without context {self.without_context[metric]}" if metric in self.without_context else ""
        return f"  {metric:{width}}  {self.metrics[metric]}{without}"
