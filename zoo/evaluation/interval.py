"""A figure with its bootstrap interval."""

from __future__ import annotations

import dataclasses
from typing import TypedDict


class IntervalJson(TypedDict):
    """An `Interval`, JSON-ready."""

    mean: float
    low: float
    high: float
    level: float


class Resampling(TypedDict):
    """How bootstrap intervals are made: the number of resamples, the share inside an interval, the seed of draws."""

    resamples: int
    level: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and its bootstrap interval.

    Args:
        mean: The figure over all users: the mean, or for `cluster_interval` the statistic itself.
        low: The lower end of the interval.
        high: The upper end of the interval.
        level: The share of resamples inside the interval, e.g. 0.95.

    Example:

    >>> print(Interval(0.25, 0.0, 0.75, level=0.95))
    0.2500 [0.0000, 0.7500]
    """

    mean: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def to_json(self) -> IntervalJson:
        """The figure and its interval, JSON-ready."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "level": self.level}
