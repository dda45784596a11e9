"""`zoo bench`: runs a benchmark and says which targets were met."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import AsJson, print_json, print_table, quiet_tensorflow
from zoo.errors import ZooError
from zoo.plugins import plugins

if TYPE_CHECKING:
    from zoo.bench.definition import Benchmark, Job
    from zoo.bench.margins import Margin
    from zoo.bench.results import Row
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
        added[name].load()(_folder(name, out), quick, check, as_json)
        return
    from zoo.bench.definition import jobs, read_benchmark

    name, benchmark = read_benchmark(name)
    asked = jobs(benchmark, only or (), quick)
    outcome = _run(name, benchmark, asked, _folder(name, out), data_root, not as_json)
    if as_json:
        print_json(outcome.to_json())
    else:
        _print_outcome(name, benchmark.about, outcome)
    if record:
        _record(name, benchmark, outcome)
    _refuse("Failed", [str(job) for job in outcome.failed])
    if check:
        _refuse("Missed", outcome.missed())


def _folder(name: str, out: Path | None) -> Path:
    return out or Path("bench") / name


def _refuse(what: str, names: list[str]) -> None:
    """Raises a `ZooError` that has the names, if there are any."""
    if names:
        raise ZooError(f"{what}: {', '.join(names)}.")


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """The results of running a benchmark."""

    file: Path
    rows: list[Row]
    failed: list[Job]
    lines: list[Line]
    margins: list[Margin]

    def to_json(self) -> dict[str, object]:
        """The figures and margins as JSON."""
        return {"figures": [one.to_json() for one in self.lines], "margins": [one.to_json() for one in self.margins]}

    def missed(self) -> list[str]:
        """The targets and margins that were not reached."""
        missed = [f"{line.figure.label} {line.figure.metric}" for line in self.lines if line.is_met is False]
        return missed + [f"{one.label} {one.metric} over {one.other}" for one in self.margins if one.is_met is False]


def _run(
    name: str, benchmark: Benchmark, asked: list[Job], folder: Path, data_root: Path | None, is_talking: bool
) -> _Outcome:
    from zoo.bench.margins import margins
    from zoo.bench.running import RESULTS, RUNS, run_jobs
    from zoo.bench.summary import summarize

    rows, failed = run_jobs(
        name,
        asked,
        folder,
        data_root,
        progress=sys.stdout.isatty() and is_talking,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    compared = margins(benchmark, folder / RUNS, {job.label for job in asked})
    return _Outcome(folder / RESULTS, rows, failed, summarize(benchmark, rows), compared)


def _record(name: str, benchmark: Benchmark, outcome: _Outcome) -> None:
    from zoo.bench.definition import jobs
    from zoo.bench.results import record_rows, recorded_results

    record_rows(recorded_results(), name, outcome.rows, {job.digest for job in jobs(benchmark)})


def _print_outcome(name: str, about: str, outcome: _Outcome) -> None:
    print_table(f"{name}: {about}", COLUMNS, [_cells(line) for line in outcome.lines])
    if outcome.margins:
        rows = [_margin_cells(margin) for margin in outcome.margins]
        print_table(f"{name}: margins, with 95% intervals over users", MARGIN_COLUMNS, rows)
    print(f"All metrics with their intervals are in {outcome.file}")


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
