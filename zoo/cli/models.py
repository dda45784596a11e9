"""`zoo list` and `zoo info`: what architectures there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import AsJson, print_json, print_table, quiet_tensorflow
from zoo.errors import unknown_name
from zoo.registry import Spec, spec, specs

if TYPE_CHECKING:
    from zoo.bench.summary import Line


def list_models(
    pattern: Annotated[str, typer.Argument(help="A shell-style pattern, e.g. '*cf'.")] = "*",
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
) -> None:
    """List the architectures."""
    found = specs(pattern)
    if not found:
        raise unknown_name("architecture", pattern, specs())
    if as_json:
        print_json([_facts(one) for one in found.values()])
        return
    if markdown:
        quiet_tensorflow()
        print(markdown_table(found.values()))
        return
    width, learner_width = max(map(len, found)), max(len(one.learner) for one in found.values())
    for one in found.values():
        print(f"{one.name:{width}}  {one.learner:{learner_width}}  {one.summary}")


def info(name: Annotated[str, typer.Argument(help="A registered architecture.")], as_json: AsJson = False) -> None:
    """Show what is known of an architecture: hparams, preset, objective or solver, paper, results of benchmarks."""
    from zoo.config import preset

    one = spec(name)
    settings = preset(name)
    results = _results(name)
    if as_json:
        print_json({**_facts(one), "preset": settings, "results": [line.to_json() for line in results]})
        return
    print(f"{one.name}: {one.summary}")
    print(f"  objective  {one.objective}" if one.objective else f"  solver     {one.solver}")
    print(f"  query      {', '.join(one.query)}")
    print(f"  paper      {one.paper or '-'}")
    print(f"  file       {one.file}")
    print_table("hparams", ["name", "default"], [(key, repr(value)) for key, value in one.hparams.items()])
    if settings:
        print_table("preset", ["setting", "value"], list(_flat(settings)))
    if results:
        columns = ["benchmark", "label", "protocol", "metric", "mean", "seeds", "target", "met"]
        print_table("results", columns, [_result_cells(line) for line in results])


def markdown_table(found: Iterable[Spec]) -> str:
    """A row an architecture: name, family, objective or solver, query, what it is and what it reached."""
    from zoo.bench.results import best_figures, read_rows, recorded_results
    from zoo.registry import build

    best = best_figures(read_rows(recorded_results()))
    columns = ("name", "family", "objective or solver", "query", "what it is", "best recorded figures")
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for one in found:
        family = build(one.name, **one.tiny).family
        source = f" [{one.paper}]" if one.paper else ""
        reached = [
            f"{figure.metric} {figure.mean:.4f} (`{figure.benchmark}`, {figure.protocol})"
            for figure in best.get(one.name, ())
        ]
        cells = (f"`{one.name}`", family, one.learner, ", ".join(one.query), f"{one.summary}{source}")
        lines.append(f"| {' | '.join(cells)} | {'; '.join(reached) or '-'} |")
    return "\n".join(lines)


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


def _facts(one: Spec) -> dict[str, Any]:
    return {
        "name": one.name,
        "summary": one.summary,
        "objective": one.objective or None,
        "solver": one.solver or None,
        "query": list(one.query),
        "paper": one.paper,
        "ordered": one.ordered,
        "hparams": dict(one.hparams),
    }


def _flat(settings: dict[str, Any], path: str = "") -> Any:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
