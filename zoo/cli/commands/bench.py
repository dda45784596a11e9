"""`zoo bench`: runs a benchmark and says which targets were met."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import AsJson, print_json, print_table, quiet_tensorflow
from zoo.errors import ZooError
from zoo.plugins import plugins

if TYPE_CHECKING:
    from zoo.bench.margins import Margin
    from zoo.bench.summary import Line


def bench(
    name: Annotated[str, typer.Argument(help="A benchmark that comes with the package, or a YAML file of one.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder of the files of a named dataset.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results and runs; by default bench/NAME.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the models under 'quick', with the first seed.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this label; may be repeated.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Merge the results into those of the package.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a target or margin was missed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate the models of a benchmark, each in a process of its own, and compare with what is published.

    A model that has ended is not run again, so an interrupted benchmark goes on when it is called once more. The
    benchmark `serving` measures exported artefacts.
    """
    added = {point.name: point for point in plugins("zoo.benchmarks")}
    if name in added:
        quiet_tensorflow()
        added[name].load()(out or Path("bench") / name, quick, check, as_json)
        return
    from zoo.bench.definition import jobs, read_benchmark
    from zoo.bench.margins import margins
    from zoo.bench.results import record_rows, recorded_results
    from zoo.bench.running import RESULTS, RUNS, run_jobs
    from zoo.bench.summary import summarize

    name, benchmark = read_benchmark(name)
    folder = out or Path("bench") / name
    asked = jobs(benchmark, only or (), quick)
    rows, failed = run_jobs(
        name,
        asked,
        folder,
        data_root,
        progress=sys.stdout.isatty() and not as_json,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    lines = summarize(benchmark, rows)
    compared = margins(benchmark, folder / RUNS, {job.label for job in asked})
    if as_json:
        print_json({"figures": [one.to_json() for one in lines], "margins": [one.to_json() for one in compared]})
    else:
        _print_results(name, benchmark.about, lines, compared)
        print(f"All metrics with their intervals are in {folder / RESULTS}")
    if record:
        record_rows(recorded_results(), name, rows, {job.digest for job in jobs(benchmark)})
    if failed:
        raise ZooError(f"Failed: {', '.join(str(job) for job in failed)}.")
    missed = [f"{line.figure.label} {line.figure.metric}" for line in lines if line.is_met is False]
    missed += [f"{m.label} {m.metric} over {m.other}" for m in compared if m.is_met is False]
    if check and missed:
        raise ZooError(f"Missed: {', '.join(missed)}.")


def _print_results(name: str, about: str, lines: Sequence[Line], compared: Sequence[Margin]) -> None:
    print_table(f"{name}: {about}", COLUMNS, [_cells(line) for line in lines])
    if compared:
        rows = [_margin_cells(margin) for margin in compared]
        print_table(f"{name}: margins, with 95% intervals over users", MARGIN_COLUMNS, rows)


COLUMNS = ("label", "metric", "mean", "each", "target", "met", "train seconds", "source")


def _cells(line: Line) -> tuple[str, ...]:
    figure = line.figure
    target = "-" if line.target is None else f"{line.target:.4f}"
    each = " ".join(f"{value:.4f}" for value in figure.values)
    seconds = f"{figure.train_seconds:.1f}"
    return figure.label, figure.metric, f"{figure.mean:.4f}", each, target, line.verdict, seconds, line.source


MARGIN_COLUMNS = ("label", "over", "metric", "gain", "interval", "seeds", "least", "met")


def _margin_cells(margin: Margin) -> tuple[str, ...]:
    interval = margin.interval
    gain, ends = (
        ("-", "-") if interval is None else (f"{interval.mean:+.4f}", f"{interval.low:+.4f} to {interval.high:+.4f}")
    )
    least = f"{margin.least:+.4f}"
    return margin.label, margin.other, margin.metric, gain, ends, str(margin.seeds), least, margin.verdict
