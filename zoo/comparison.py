"""Comparison of runs: differences on the same users, and whether resampling can tell them from 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from zoo.config import flat_settings
from zoo.data.dataset import Dataset, Part
from zoo.errors import UserError, unknown_name
from zoo.evaluation.differences import paired_interval, verdict
from zoo.evaluation.interval import Interval, Resampling
from zoo.evaluation.protocols import PROTOCOLS, Evaluation, default_protocol, evaluate
from zoo.evaluation.ranking import KNOWN_BEFORE
from zoo.run import Run


@dataclasses.dataclass(frozen=True)
class Difference:
    """A run against the first one, in one metric.

    Args:
        run: The run, as it is called in the comparison.
        metric: The metric.
        interval: Its figure minus that of the first run, with the bootstrap interval over the same users.
        verdict: `"better"`, `"worse"`, or that the resamples can tell no difference.
    """

    run: str
    metric: str
    interval: Interval
    verdict: str


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison:
    """Runs by one protocol on the same users. Its `str` is a table of their metrics.

    Args:
        protocol: The protocol.
        about: One sentence on what was asked, with its numbers.
        runs: The names of the runs.
        metrics: For every metric the interval of each run, in their order.
        differences: Every other run against the first one.
        settings: The settings in which the runs differ: dotted setting to the value of each run.
    """

    protocol: str
    about: str
    runs: tuple[str, ...]
    metrics: dict[str, tuple[Interval, ...]]
    differences: tuple[Difference, ...]
    settings: dict[str, tuple[object, ...]]

    def to_json(self) -> dict[str, object]:
        """The comparison, JSON-ready."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        return f"<Comparison by {self.protocol} of {', '.join(self.runs)}>"

    def __str__(self) -> str:
        lines = [f"{self.protocol}: {self.about}"]
        for metric, (first, *others) in self.metrics.items():
            lines.append(f"  {metric}")
            lines.append(f"    {self.runs[0]}  {first}")
            told = [one for one in self.differences if one.metric == metric]
            lines += [
                f"    {one.run}  {figure}  {one.verdict}, difference {one.interval}"
                for one, figure in zip(told, others, strict=True)
            ]
        return "\n".join(lines)


def compare(
    runs: Sequence[Run | str | Path],
    protocol: str | None = None,
    part: Part = "test",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compares runs with the first of them, user by user.

    The difference of each user is resampled (the paired bootstrap; Efron and Tibshirani, 1993), so differences between
    users cancel out. Metrics of rows, such as RMSE, are resampled by user too, with all rows of a user at a time. An
    interval that excludes 0 makes a run better or worse. At the level of 0.95 about one metric in twenty does so by
    chance.

    Args:
        runs: At least two runs, or folders of runs. They must have been split alike.
        protocol: A named protocol; by default that of the first run.
        part: The held-out part.
        resamples: Bootstrap resamples.
        level: The share of resamples inside an interval, of the runs and of their differences.
        seed: Seed of the bootstrap.

    Returns:
        A `Comparison`.

    Raises:
        UserError: If there are fewer than two runs, or they differ in users, items, held-out interactions or what was
            known before; the message says which runs and in what.

    Example:

    ```python
    comparison = compare(["runs/mf", "runs/ease"])
    comparison.differences[0].verdict  # 'better'
    ```
    """
    if part not in KNOWN_BEFORE:
        raise unknown_name("part", part, KNOWN_BEFORE)
    loaded = _loaded(runs)
    names = _names(loaded)
    first = loaded[0]
    settings = first.config.evaluate
    protocol = protocol or settings.protocol or default_protocol(first.model, first.config, first.dataset, part)
    _check_comparable(loaded, names, protocol, part)
    resampling = Resampling(resamples=resamples, level=level, seed=seed)
    evaluations = [
        evaluate(run.model, run.dataset, protocol, part, settings.ks, negatives=settings.negatives, **resampling)
        for run in loaded
    ]
    return Comparison(
        protocol,
        evaluations[0].about,
        names,
        {metric: tuple(one.metrics[metric] for one in evaluations) for metric in evaluations[0].metrics},
        tuple(_differences(names, evaluations, resampling)),
        _settings_that_differ(loaded),
    )


def _loaded(runs: Sequence[Run | str | Path]) -> list[Run]:
    if len(runs) < 2:
        raise UserError(f"Expected at least 2 runs to compare. Received: {len(runs)}. Name another one.")
    return [run if isinstance(run, Run) else Run.load(run) for run in runs]


def _check_comparable(runs: Sequence[Run], names: Sequence[str], protocol: str, part: Part) -> None:
    """Refuses runs that differ from the first one in what the protocol needs to be alike."""
    first, chosen = runs[0].dataset, PROTOCOLS[protocol]
    for name, run in zip(names[1:], runs[1:], strict=True):
        what = _difference(first, run.dataset, part) or chosen.difference(first, run.dataset, part)
        if what is not None:
            raise UserError(f"{names[0]} and {name} cannot be compared: they differ in {what}")


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """The folder of each run, or the architecture of one that was not saved; numbered where two would be alike."""
    names = [str(run.folder) if run.folder else run.config.model for run in runs]
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[: index + 1].count(name)})"
        for index, name in enumerate(names)
    )


def _difference(data: Dataset, other: Dataset, part: Part) -> str | None:
    """The difference between two datasets that no protocol allows, with what to do; `None` if there is none."""
    for role in ("user", "item"):
        if data.vocabularies[role] != other.vocabularies[role]:
            sizes = f"{len(data.vocabularies[role]):,} and {len(other.vocabularies[role]):,}"
            return f"their {role}s ({sizes}). Train both on the same data."
    for parts, what in (((part,), f"the interactions of the {part} part"), (KNOWN_BEFORE[part], "what was known")):
        rows, other_rows = (_rows(one, parts) for one in (data, other))
        if not np.array_equal(rows, other_rows):
            counts = f"{len(rows):,} and {len(other_rows):,} rows"
            return f"{what} ({counts}). Split both alike: same split, options and seed."
    return None


def _rows(data: Dataset, parts: Sequence[Part]) -> np.ndarray:
    """User, item and label of the interactions, in their order, `[num_rows, 3]`."""
    return data.part(*parts)[["user", "item", "label"]].to_numpy(np.float64)


def _differences(
    names: Sequence[str], evaluations: Sequence[Evaluation], resampling: Resampling
) -> Iterator[Difference]:
    """Every other run against the first one, in every metric."""
    first = evaluations[0]
    for name, evaluation in zip(names[1:], evaluations[1:], strict=True):
        for metric in first.metrics:
            interval = paired_interval(metric, evaluation, first, resampling)
            yield Difference(name, metric, interval, verdict(metric, interval, resampling["resamples"]))


def _settings_that_differ(runs: Sequence[Run]) -> dict[str, tuple[object, ...]]:
    """By dotted name, the value of each run of every setting in which they differ."""
    flat = [dict(flat_settings(run.config.model_dump(mode="json", exclude={"evaluate", "export"}))) for run in runs]
    names = dict.fromkeys(name for one in flat for name in one)
    values = {name: tuple(one.get(name) for one in flat) for name in names}
    return {name: each for name, each in values.items() if _differ(each)}


def _differ(values: Sequence[object]) -> bool:
    return any(value != values[0] for value in values)
