"""The result of an evaluation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypedDict

from zoo.evaluation.interval import Interval, IntervalJson

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.statistics import Statistic


class EvaluationJson(TypedDict):
    """An `Evaluation`, JSON-ready."""

    protocol: str
    about: str
    metrics: dict[str, IntervalJson]
    without_context: dict[str, IntervalJson]


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
    """

    protocol: str
    about: str
    metrics: dict[str, Interval]
    users: np.ndarray
    per_user: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Statistic] = dataclasses.field(default_factory=dict)
    rows: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    without_context: dict[str, Interval] = dataclasses.field(default_factory=dict)

    @property
    def row_users(self) -> np.ndarray:
        """The user index of every row."""
        return self.rows["user"]

    def to_json(self) -> EvaluationJson:
        """The metrics, JSON-ready."""
        return {
            "protocol": self.protocol,
            "about": self.about,
            "metrics": {name: interval.to_json() for name, interval in self.metrics.items()},
            "without_context": {name: interval.to_json() for name, interval in self.without_context.items()},
        }

    def __str__(self) -> str:
        return "\n".join([f"{self.protocol}: {self.about}", *map(self._line, self.metrics)])

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {interval.mean:.4f}" for name, interval in self.metrics.items())
        return f"<Evaluation by {self.protocol} of {len(self.users):,} users: {figures}>"

    def _line(self, metric: str) -> str:
        width = max(map(len, self.metrics))
        without = f"  without context {self.without_context[metric]}" if metric in self.without_context else ""
        return f"  {metric:{width}}  {self.metrics[metric]}{without}"
