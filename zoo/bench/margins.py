"""The gain of a model of a benchmark over another one on the same interactions or users, with its target."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import TypedDict

import numpy as np

from zoo.arrays import load_arrays, save_arrays
from zoo.bench.definition import Benchmark, Job, jobs
from zoo.evaluation.bootstrap import cluster_interval
from zoo.evaluation.interval import Interval
from zoo.evaluation.metrics import gain
from zoo.evaluation.protocols import PROTOCOLS, Protocol
from zoo.evaluation.statistics import Statistic

# The file in the folder of a run that holds what `Protocol.comparable_rows` gave of its evaluation.
ROWS = "test_rows.npz"

Rows = Mapping[str, np.ndarray]
Pair = tuple[Rows, Rows]


@dataclasses.dataclass(frozen=True)
class Margin:
    """The gain of a model over another one in a metric, and the least that it should be.

    Args:
        label: The label of the model.
        other: The label that it is compared with.
        metric: The metric.
        least: The least gain. A fall of a metric such as the log loss is a gain.
        seeds: The number of runs of each, by the same seeds, that were compared.
        interval: The mean gain of these with its bootstrap interval over users; `None` if there is none.
        lacking: Why there is none: `"not run"`, `"other interactions"` or `"undefined"`.
    """

    label: str
    other: str
    metric: str
    least: float
    seeds: int = 0
    interval: Interval | None = None
    lacking: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the mean gain is as large as it should be; `None` if there is none."""
        return None if self.interval is None else self.interval.mean >= self.least

    @property
    def verdict(self) -> str:
        """`"met"`, `"missed"`, or why there is no gain."""
        return {True: "met", False: "missed", None: self.lacking}[self.is_met]

    def to_json(self) -> dict[str, object]:
        """The margin, JSON-ready."""
        return {**dataclasses.asdict(self), "met": self.is_met}


class _Gain(TypedDict, total=False):
    """The interval of a mean gain, or why there is none."""

    interval: Interval
    lacking: str


def save_test_rows(folder: Path, rows: dict[str, np.ndarray]) -> None:
    """Writes what `Protocol.comparable_rows` gave into the folder of a run, whole or not at all."""
    unfinished = folder / f"unfinished-{ROWS}"
    save_arrays(unfinished, rows)
    os.replace(unfinished, folder / ROWS)


def margins(benchmark: Benchmark, runs: Path, labels: Iterable[str]) -> list[Margin]:
    """The gains of models over those that the benchmark compares them with.

    Two runs of the same seed are compared on the interactions or users that they were both asked about. The gain is the
    mean over seeds. All runs are resampled by the same users (the paired bootstrap; Efron and Tibshirani, 1993). So the
    differences between users and between seeds cancel out, and the one between models is left.

    Args:
        benchmark: The benchmark.
        runs: The folder of its runs; those that it lacks are left out.
        labels: The labels whose margins are wanted.

    Returns:
        A margin for every label, other label and metric, in the order of the file.

    Example:

    ```python
    [margin.verdict for margin in margins(benchmark, Path("bench/ctr/runs"), ["ml-100k.elcorec"])]  # ['met']
    ```
    """
    wanted = set(labels)
    found: list[Margin] = []
    for label, entry in benchmark.models.items():
        for other, least in entry.margins.items() if label in wanted else ():
            pairs = _pairs(benchmark, runs, label, other)
            resamples = jobs(benchmark, only=[label])[0].config.evaluate.resamples
            for metric in least:
                made = _gain(pairs, PROTOCOLS[str(benchmark.evaluate["protocol"])], metric, resamples)
                found.append(Margin(label, other, metric, least[metric], len(pairs), **made))
    return found


def _pairs(benchmark: Benchmark, runs: Path, label: str, other: str) -> list[Pair]:
    """The test interactions of both labels by the same variant and seed, where there are runs of both."""

    def paths(one: str) -> Iterator[tuple[tuple[str, int], Path]]:
        for job in jobs(benchmark, only=[one]):
            if job.label == one and has_test_rows(job, runs):
                yield (job.variant, job.seed), runs / job.folder / ROWS

    own, others = dict(paths(label)), dict(paths(other))
    return [(load_arrays(path), load_arrays(others[key])) for key, path in own.items() if key in others]


def has_test_rows(job: Job, runs: Path) -> bool:
    """Whether the run of a job has left what margins are made of."""
    return (runs / job.folder / ROWS).exists()


def _gain(pairs: list[Pair], protocol: Protocol, metric: str, resamples: int) -> _Gain:
    """The interval of the mean gain, or why there is none."""
    if not pairs:
        return {"lacking": "not run"}
    if not all(_are_same(protocol.asked(a), protocol.asked(b)) for a, b in pairs):
        return {"lacking": "other interactions"}
    statistics = _statistics(pairs, protocol, metric)
    if len(statistics) < len(pairs):
        return {"lacking": "undefined"}
    groups = [a["user"] for a, _ in pairs]
    statistic = _mean_gain(metric, statistics, [len(users) for users in groups])
    return {"interval": cluster_interval(statistic, np.concatenate(groups), resamples=resamples)}


def _statistics(pairs: list[Pair], protocol: Protocol, metric: str) -> list[tuple[Statistic, Statistic]]:
    """The metric of both runs of every pair, as functions of row weights, where it is defined for both."""
    found = [(protocol.statistics(a).get(metric), protocol.statistics(b).get(metric)) for a, b in pairs]
    return [(a, b) for a, b in found if a is not None and b is not None]


def _are_same(a: Rows, b: Rows) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def _mean_gain(metric: str, statistics: list[tuple[Statistic, Statistic]], sizes: list[int]) -> Statistic:
    """The mean gain of pairs of runs, as a function of the weights of the rows of all pairs, one after the other."""
    ends = np.cumsum(sizes)[:-1]

    def mean_gain(weights: np.ndarray) -> float:
        parts = np.split(weights, ends)
        return fmean(gain(metric, a(part), b(part)) for (a, b), part in zip(statistics, parts, strict=True))

    return mean_gain
