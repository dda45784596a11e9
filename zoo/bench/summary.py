"""The figures of a benchmark with their targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from zoo.bench.definition import Benchmark
from zoo.bench.results import Figure, Row, figures
from zoo.evaluation.metrics import gain
from zoo.evaluation.protocols import is_headline


@dataclasses.dataclass(frozen=True)
class Line:
    """A figure and its target.

    Args:
        figure: The figure, over all seeds and variants.
        target: The figure to reach, if there is one.
        source: Where the target is from.
    """

    figure: Figure
    target: float | None
    source: str

    @property
    def is_met(self) -> bool | None:
        """Whether the mean is as good as the target; `None` without one."""
        return None if self.target is None else gain(self.figure.metric, self.figure.mean, self.target) >= 0

    @property
    def verdict(self) -> str:
        """`"met"`, `"missed"`, or `"-"` where there is no target."""
        return {True: "met", False: "missed", None: "-"}[self.is_met]

    def to_json(self) -> dict[str, object]:
        """The line, JSON-ready."""
        described = dataclasses.asdict(self.figure)
        return {**described, "mean": self.figure.mean, "target": self.target, "source": self.source, "met": self.is_met}


def summarize(benchmark: Benchmark | None, rows: Iterable[Row]) -> list[Line]:
    """The figures that have a target or that a margin compares, and the headline of a label without a target.

    Args:
        benchmark: The benchmark, if it is known.
        rows: Rows of it.

    Returns:
        A line a figure, in the order of the rows.

    Example:

    ```python
    [line.verdict for line in summarize(benchmark, rows)]  # ['met']
    ```
    """
    lines = []
    for figure in figures(rows):
        entry = benchmark.models.get(figure.label) if benchmark else None
        targets, source = (entry.targets, entry.source) if entry else ({}, "")
        asked = {*targets, *_compared(benchmark, figure.label)} if benchmark else set()
        if figure.metric in asked or (not targets and is_headline(figure.protocol, figure.metric)):
            lines.append(Line(figure, targets.get(figure.metric), source))
    return lines


def _compared(benchmark: Benchmark, label: str) -> set[str]:
    """The metrics of the margins that a label is on either side of."""
    sides = [
        least
        for one, entry in benchmark.models.items()
        for other, least in entry.margins.items()
        if label in (one, other)
    ]
    return {metric for least in sides for metric in least}
