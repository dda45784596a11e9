"""`zoo info`: what is known of one architecture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.architectures import hparam_meanings, spec_json
from zoo.cli.console import AsJson, print_json, print_table
from zoo.registry import spec

if TYPE_CHECKING:
    from zoo.bench.summary import Line


def info(name: Annotated[str, typer.Argument(help="A registered architecture.")], as_json: AsJson = False) -> None:
    """Show what is known of an architecture: hparams, preset, objective or solver, paper, results of benchmarks."""
    from zoo.cli.settings import all_settings, yaml_text
    from zoo.config import preset

    one = spec(name)
    settings = preset(name)
    meanings = hparam_meanings(one)
    results = _results(name)
    if as_json:
        more = {"hparam_meanings": meanings, "preset": settings, "results": [line.to_json() for line in results]}
        print_json({**spec_json(one), **more})
        return
    print(f"{one.name}: {one.summary}")
    print(f"  objective  {one.objective}" if one.objective else f"  solver     {one.solver}")
    print(f"  query      {', '.join(one.query)}")
    print(f"  paper      {one.paper or '-'}")
    print(f"  file       {one.file}")
    hparams = [(key, yaml_text(value), meanings.get(key, "")) for key, value in one.hparams.items()]
    print_table("Hparams: --set NAME=VALUE", ["name", "default", "meaning"], hparams)
    if settings:
        known = {**{name: one.meaning for name, one in all_settings().items()}, **_hparam_settings(meanings)}
        rows = [(name, yaml_text(value), known.get(name, "")) for name, value in _flat(settings)]
        print_table("Preset: what is set unless you say otherwise", ["setting", "value", "meaning"], rows)
    if results:
        columns = ["benchmark", "label", "protocol", "metric", "mean", "seeds", "target", "met"]
        print_table("Recorded results", columns, [_result_cells(line) for line in results])


def _results(name: str) -> list[Line]:
    """What an architecture reached in the benchmarks, as recorded in the package."""
    from zoo.bench.results import read_rows, recorded_results

    rows = [row for row in read_rows(recorded_results()) if row.model == name]
    if not rows:
        return []
    from zoo.bench.definition import list_benchmarks, read_benchmark
    from zoo.bench.summary import summarize

    lines: list[Line] = []
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        known = read_benchmark(benchmark)[1] if benchmark in list_benchmarks() else None
        lines += summarize(known, [row for row in rows if row.benchmark == benchmark])
    return lines


def _result_cells(line: Line) -> tuple[str, ...]:
    figure = line.figure
    target = "-" if line.target is None else f"{line.target:.4f} ({line.source})"
    number = str(len(figure.values))
    mean = f"{figure.mean:.4f}"
    return figure.benchmark, figure.label, figure.protocol, figure.metric, mean, number, target, line.verdict


def _hparam_settings(meanings: Mapping[str, str]) -> dict[str, str]:
    return {f"hparams.{name}": meaning for name, meaning in meanings.items()}


def _flat(settings: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
