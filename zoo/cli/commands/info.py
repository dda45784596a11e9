"""`zoo info`: what is known of one architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.architectures import family, hparam_meanings, spec_json
from zoo.cli.console import AsJson, print_json, print_table
from zoo.cli.settings import all_settings, yaml_text
from zoo.config import flat_settings, preset
from zoo.registry import Spec, spec

if TYPE_CHECKING:
    from zoo.bench.results import Row
    from zoo.bench.summary import Line


def info(name: Annotated[str, typer.Argument(help="A registered architecture.")], as_json: AsJson = False) -> None:
    """Show what is known of an architecture: family, objective or solver, paper, hparams, preset, recorded results."""
    one = spec(name)
    settings, meanings, results = preset(name), hparam_meanings(one), _results(name)
    if as_json:
        more = {"hparam_meanings": meanings, "preset": settings, "results": [line.to_json() for line in results]}
        print_json({**spec_json(one), "family": family(one), **more})
        return
    _print_summary(one)
    _print_hparams(one, meanings)
    if settings:
        _print_preset(settings, meanings)
    if results:
        columns = ["benchmark", "label", "protocol", "metric", "mean", "seeds", "target", "met"]
        print_table("Recorded results", columns, [_result_cells(line) for line in results])


def _print_summary(one: Spec) -> None:
    print(f"{one.name}: {one.summary}")
    print(f"  family     {family(one)}")
    print(f"  objective  {one.objective}" if one.objective else f"  solver     {one.solver}")
    print(f"  query      {', '.join(one.query)}")
    print(f"  paper      {one.paper or '-'}")
    if one.not_meant_for:
        print(f"  not for    {one.not_meant_for}")
    print(f"  file       {one.file}")


def _print_hparams(one: Spec, meanings: Mapping[str, str]) -> None:
    rows = [(name, yaml_text(value), meanings.get(name, "")) for name, value in one.hparams.items()]
    print_table("Hparams: --set NAME=VALUE", ["name", "default", "meaning"], rows)


def _print_preset(settings: Mapping[str, object], hparams: Mapping[str, str]) -> None:
    known = {name: setting.meaning for name, setting in all_settings().items()}
    known |= {f"hparams.{name}": meaning for name, meaning in hparams.items()}
    rows = [(name, yaml_text(value), known.get(name, "")) for name, value in flat_settings(settings)]
    print_table("Preset: what is set unless you say otherwise", ["setting", "value", "meaning"], rows)


def _results(name: str) -> list[Line]:
    """The recorded results of an architecture in the benchmarks."""
    from zoo.bench.results import read_rows, recorded_results

    rows: dict[str, list[Row]] = {}
    for row in read_rows(recorded_results()):
        if row.model == name:
            rows.setdefault(row.benchmark, []).append(row)
    return [line for benchmark, of_benchmark in rows.items() for line in _summary(benchmark, of_benchmark)]


def _summary(benchmark: str, rows: Sequence[Row]) -> list[Line]:
    from zoo.bench.definition import list_benchmarks, read_benchmark
    from zoo.bench.summary import summarize

    known = read_benchmark(benchmark)[1] if benchmark in list_benchmarks() else None
    return summarize(known, rows)


def _result_cells(line: Line) -> tuple[str, ...]:
    figure = line.figure
    target = "-" if line.target is None else f"{line.target:.4f} ({line.source})"
    number = str(len(figure.values))
    mean = f"{figure.mean:.4f}"
    return figure.benchmark, figure.label, figure.protocol, figure.metric, mean, number, target, line.verdict
