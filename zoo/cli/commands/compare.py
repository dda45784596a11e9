"""`zoo compare`: which run is better, user by user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import AsJson, print_json, print_table, quiet_tensorflow
from zoo.cli.protocols import HeldOutPart, ProtocolName

if TYPE_CHECKING:
    from zoo.comparison import Comparison, Difference


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs. The others are compared with the first.")],
    protocol: ProtocolName = None,
    part: HeldOutPart = "test",
    resamples: Annotated[int, typer.Option(min=10, help="Bootstrap resamples.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Compare runs on the same users: differences with their intervals, and the settings that differ."""
    from zoo.files import read_json

    for folder in runs:
        read_json(folder / "run.json", "run")
    quiet_tensorflow()
    from zoo.comparison import compare as compare_runs

    comparison = compare_runs(runs, protocol, part, resamples)
    if as_json:
        print_json(comparison.to_json())
    else:
        _print_comparison(comparison)


def _print_comparison(comparison: Comparison) -> None:
    print(f"Protocol {comparison.protocol}: {comparison.about}")
    print_table("", ["metric", *comparison.runs], _mean_cells(comparison))
    first, *others = comparison.runs
    for name in others:
        cells = [_difference_cells(one) for one in comparison.differences if one.run == name]
        print_table(f"{name} minus {first}", ["metric", "difference", "95% interval", "verdict"], cells)
    if comparison.settings:
        print_table("Settings that differ", ["setting", *comparison.runs], _setting_cells(comparison.settings))


def _mean_cells(comparison: Comparison) -> list[tuple[str, ...]]:
    return [(metric, *(f"{one.mean:.4f}" for one in each)) for metric, each in comparison.metrics.items()]


def _difference_cells(one: Difference) -> tuple[str, ...]:
    interval = one.interval
    return one.metric, f"{interval.mean:+.4f}", f"{interval.low:+.4f} to {interval.high:+.4f}", one.verdict


def _setting_cells(settings: dict[str, tuple[object, ...]]) -> list[tuple[str, ...]]:
    return [(name, *("-" if value is None else str(value) for value in each)) for name, each in settings.items()]
