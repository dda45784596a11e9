"""`zoo compare`: which run is better, user by user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.console import AsJson, print_json, print_table, quiet_tensorflow


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs; all are compared with the first.")],
    protocol: Annotated[str | None, typer.Option(help="By default the protocol of the first run.")] = None,
    part: Annotated[str, typer.Option(help="valid or test.")] = "test",
    resamples: Annotated[int, typer.Option(min=10, help="Bootstrap resamples.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Compare runs on the same users: differences with their intervals, and what the runs were configured with."""
    from zoo.files import read_json

    for folder in runs:
        read_json(folder / "run.json", "run")
    quiet_tensorflow()
    from zoo.comparison import compare as compare_runs

    comparison = compare_runs(runs, protocol, part, resamples)  # type: ignore[arg-type]
    if as_json:
        print_json(comparison.to_json())
        return
    print(f"Protocol {comparison.protocol}: {comparison.about}")
    rows = [(metric, *(f"{one.mean:.4f}" for one in each)) for metric, each in comparison.metrics.items()]
    print_table("", ["metric", *comparison.runs], rows)
    first, *others = comparison.runs
    for name in others:
        print_table(
            f"{name} less {first}",
            ["metric", "difference", "95% interval", "verdict"],
            [
                (one.metric, f"{one.interval.mean:+.4f}", _ends(one.interval.low, one.interval.high), one.verdict)
                for one in comparison.differences
                if one.run == name
            ],
        )
    if comparison.settings:
        print_table("Settings that differ", ["setting", *comparison.runs], _cells(comparison.settings))


def _ends(low: float, high: float) -> str:
    return f"{low:+.4f} to {high:+.4f}"


def _cells(settings: dict[str, tuple[object, ...]]) -> list[tuple[str, ...]]:
    return [(name, *("-" if value is None else str(value) for value in each)) for name, each in settings.items()]
