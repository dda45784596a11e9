"""The table of results, with a row a metric of every job. Pandas is not needed, because `zoo list` reads tables."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from statistics import fmean

from zoo.errors import UserError
from zoo.evaluation.metrics import gain
from zoo.evaluation.protocols import is_headline
from zoo.files import cache_folder


@dataclasses.dataclass(frozen=True)
class Row:
    """One metric of one job. All values are texts, so that a table that is read and written again stays as it was.

    Args:
        benchmark: The benchmark.
        dataset: The name that the data has.
        protocol: The protocol of the evaluation.
        label: The label of the model in the benchmark.
        model: The architecture.
        variant: The varied settings; empty where nothing varies.
        seed: The seed.
        metric: The metric, e.g. `"ndcg@10"`.
        value: Its figure.
        low: The lower end of its bootstrap interval.
        high: The upper end.
        train_seconds: Seconds of training, without preparing the data and without validation.
        evaluate_seconds: Seconds of one evaluation.
        peak_memory_mb: The most memory the process held.
        epochs: Epochs trained; 0 for a model that is solved in closed form.
        machine: Processor, cores, memory and GPUs.
        versions: Of Python and of the packages that matter.
        date: The day in UTC.
        digest: The SHA-256 of all settings.
    """

    benchmark: str
    dataset: str
    protocol: str
    label: str
    model: str
    variant: str
    seed: str
    metric: str
    value: str
    low: str
    high: str
    train_seconds: str
    evaluate_seconds: str
    peak_memory_mb: str
    epochs: str
    machine: str
    versions: str
    date: str
    digest: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The job, as `Job.key` tells it."""
        return self.label, self.variant, self.seed


COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


@dataclasses.dataclass(frozen=True)
class Figure:
    """The figures of a metric over the jobs of one label.

    Args:
        benchmark: The benchmark.
        label: The label.
        protocol: The protocol.
        metric: The metric.
        values: Its figure for every seed and variant, in the order of the rows.
        train_seconds: Mean seconds of training.
    """

    benchmark: str
    label: str
    protocol: str
    metric: str
    values: tuple[float, ...]
    train_seconds: float

    @property
    def mean(self) -> float:
        """The mean over seeds and variants."""
        return fmean(self.values)


def read_rows(path: Path) -> list[Row]:
    """The rows of a table of results; none where there is no such file.

    Raises:
        UserError: If the file is no table of results.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    if tuple(header) != COLUMNS:
        raise UserError(f"{path}: no table of benchmark results. Its first line should be {','.join(COLUMNS)}.")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(COLUMNS):
            raise UserError(f"{path}, row {number}: expected {len(COLUMNS)} values. Received: {len(row)}.")
    return [Row(*row) for row in rows]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes a table of results, which appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}-unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(dataclasses.astuple(row) for row in rows)
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror}).") from error


def add_rows(path: Path, benchmark: str, new: Collection[Row]) -> list[Row]:
    """Adds the rows of a job to a table, in place of its old ones. Other processes may do the same meanwhile.

    Args:
        path: The table.
        benchmark: The benchmark.
        new: Rows of it.

    Returns:
        All rows of the table.
    """
    keys = {row.key for row in new}
    with _locked(path):
        rows = [row for row in read_rows(path) if row.benchmark != benchmark or row.key not in keys]
        rows += new
        write_rows(path, rows)
    return rows


def recorded_results() -> Path:
    """The table of results that comes with the package."""
    from zoo.config import configs_folder

    return configs_folder() / "bench" / "results.csv"


def record_rows(path: Path, benchmark: str, new: Collection[Row], digests: Collection[str]) -> None:
    """Merges the rows of one benchmark into a table. Other processes may do the same meanwhile.

    Rows of jobs that are among the new ones are replaced, and those whose settings have changed since are dropped,
    because a mean must not be one of different settings.

    Args:
        path: The table.
        benchmark: The benchmark.
        new: Rows of it.
        digests: The digests of all its jobs as they are now.
    """
    keys = {row.key for row in new}
    with _locked(path):
        kept = [
            row
            for row in read_rows(path)
            if row.benchmark != benchmark or (row.digest in digests and row.key not in keys)
        ]
        write_rows(path, sorted([*kept, *new], key=lambda row: (row.benchmark, *row.key, row.metric)))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps other processes from a table between reading and writing it."""
    from filelock import FileLock

    if not path.parent.is_dir():
        raise UserError(f"{path}: cannot be written, because {path.parent} is no folder. Choose another one.")
    # The lock is not beside the table, because the folder of the recorded table is copied into the package.
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    lock = FileLock(cache_folder() / "locks" / f"{name}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise UserError(f"{lock.lock_file}: cannot be written ({error.strerror}). Make its folder writable.") from error
    try:
        yield
    finally:
        lock.release()


def figures(rows: Iterable[Row]) -> list[Figure]:
    """The metrics of every label of every benchmark, over all its seeds and variants, in the order of the rows."""
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.benchmark, row.label, row.protocol, row.metric), []).append(row)
    return [
        Figure(*key, tuple(float(row.value) for row in group), fmean(float(row.train_seconds) for row in group))
        for key, group in groups.items()
    ]


def best_figures(rows: Iterable[Row]) -> dict[str, list[Figure]]:
    """The best figure of each architecture in every benchmark, by the headline of the protocol.

    Args:
        rows: Recorded rows.

    Returns:
        Figures by architecture, one a benchmark: that of the best label.
    """
    rows = list(rows)
    best: dict[str, list[Figure]] = {}
    for model in sorted({row.model for row in rows}):
        of_benchmark: dict[str, Figure] = {}
        for figure in figures(row for row in rows if row.model == model):
            other = of_benchmark.get(figure.benchmark)
            if is_headline(figure.protocol, figure.metric) and (
                other is None or gain(figure.metric, figure.mean, other.mean) > 0
            ):
                of_benchmark[figure.benchmark] = figure
        best[model] = list(of_benchmark.values())
    return best
