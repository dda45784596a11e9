"""Runs the jobs of a benchmark, each in a process of its own, and keeps their figures in a table."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from zoo.bench.definition import Job
from zoo.bench.margins import has_test_rows
from zoo.bench.results import Row, add_rows, read_rows
from zoo.bench.worker import JobResult
from zoo.errors import UserError, ZooError
from zoo.locks import locked

RESULTS = "results.csv"
RUNS = "runs"


def run_jobs(
    benchmark: str,
    jobs: Sequence[Job],
    out: Path,
    data_root: Path | None = None,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> tuple[list[Row], list[Job]]:
    """Runs the jobs whose rows are not in the table yet, or whose test interactions are wanted and gone.

    A job that was interrupted goes on from its checkpoint. A job that fails leaves the others as they are, and its
    output is in `logs` of the folder.

    Args:
        benchmark: The name for the table.
        jobs: The jobs, each after those that it takes weights from.
        out: The folder with `results.csv`, `runs` and `logs`.
        data_root: The folder of the files of named datasets.
        progress: Whether the jobs show their progress.
        say: Gets a line on every job.

    Returns:
        The rows of the jobs that have ended, now or before, and the jobs that failed.

    Raises:
        UserError: If the data of a source is not there or something in it is wrong. Nothing is written then. Further
            data of single models is checked when they are run.
    """
    rows = read_rows(out / RESULTS)
    pending = _pending(jobs, rows, out)
    _check_data(pending, jobs, data_root)
    _make_folders(out)
    failed = []
    for job in pending:
        try:
            result = _run_in_process(job, out, data_root, progress)
        except ZooError as error:
            failed.append(job)
            say(f"{job}: failed. {error}")
            continue
        rows = add_rows(out / RESULTS, benchmark, _rows(benchmark, job, result))
        say(f"{job}: {result['train_seconds']:,.1f} s of training, {result['peak_memory_mb']:,.0f} MB")
    ended = [
        row for job in jobs for row in rows if (row.benchmark, row.key, row.digest) == (benchmark, job.key, job.digest)
    ]
    return ended, failed


def _pending(jobs: Sequence[Job], rows: Sequence[Row], out: Path) -> list[Job]:
    """The jobs that lack rows or test interactions, and those whose weights another pending job starts from."""
    done = {(row.key, row.digest) for row in rows}
    pending: list[Job] = []
    for job in reversed(jobs):
        is_wanted = any(job in other.pretrained.values() for other in pending)
        is_wanted &= not _folder(job, out).exists()
        is_wanted |= job.is_compared and not has_test_rows(job, out / RUNS)
        if (job.key, job.digest) not in done or is_wanted:
            pending.insert(0, job)
    return pending


def _folder(job: Job, out: Path) -> Path:
    return out / RUNS / job.folder


def _check_data(pending: Sequence[Job], jobs: Sequence[Job], data_root: Path | None) -> None:
    """Loads the data of every pending source, with the further data of the first job of each source."""
    from zoo.data import load_dataset

    firsts: dict[str, Job] = {}
    for job in jobs:
        firsts.setdefault(_source(job), job)
    for source in dict.fromkeys(map(_source, pending)):
        data = firsts[source].config.data
        options = {"data_root": data_root, **data.model_dump(exclude={"source", "options"}, exclude_unset=True)}
        load_dataset(str(data.source), **options, **data.options)


def _source(job: Job) -> str:
    data = job.config.data
    return json.dumps([data.source, data.options], sort_keys=True)


def _make_folders(out: Path) -> None:
    for name in (RUNS, "logs"):
        try:
            (out / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{out / name}: cannot be made ({error.strerror}).") from error


def _run_in_process(job: Job, out: Path, data_root: Path | None, progress: bool) -> JobResult:
    """The result of `zoo.bench.worker.run_job` in a process of its own, whose memory is only its own."""
    config = job.config.model_copy(deep=True)
    for other in job.pretrained.values():
        if not _folder(other, out).exists():
            raise ZooError(f"There is no run of {other}, which it starts from. Run that first.")
    if job.pretrained:
        config.train.pretrained = {name: str(_folder(other, out)) for name, other in job.pretrained.items()}
    # The place of the data is no setting of a run, because a run may go on elsewhere.
    environment = {} if data_root is None else {"ZOO_DATA": str(data_root)}
    log = out / "logs" / f"{job.folder}.log"
    # Another process may run other jobs of the same folder meanwhile, but not this one.
    with (
        locked(log),
        tempfile.TemporaryDirectory(dir=out, prefix=".job-") as folder,
        log.open("w", encoding="utf-8") as file,
    ):
        result = Path(folder) / "result.json"
        described = {
            "config": config.model_dump(mode="json", exclude_unset=True),
            "folder": str(_folder(job, out)),
            "progress": progress,
            "result": str(result),
        }
        ended = subprocess.run(
            [sys.executable, "-m", "zoo.bench.worker"],
            input=json.dumps(described),
            text=True,
            stdout=None if progress else file,
            stderr=file,
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **environment},
            check=False,
        )
        if ended.returncode == 0:
            return cast(JobResult, json.loads(result.read_text(encoding="utf-8")))
    said = log.read_text(encoding="utf-8").strip().splitlines()
    raise ZooError(f"{said[-1] if said else f'It ended with {ended.returncode}.'} See {log}.")


def _rows(benchmark: str, job: Job, result: JobResult) -> list[Row]:
    return [
        Row(
            benchmark=benchmark,
            dataset=result["dataset"],
            protocol=result["protocol"],
            label=job.label,
            model=job.config.model,
            variant=job.variant,
            seed=str(job.seed),
            metric=metric,
            value=f"{interval['mean']:.6f}",
            low=f"{interval['low']:.6f}",
            high=f"{interval['high']:.6f}",
            train_seconds=f"{result['train_seconds']:.2f}",
            evaluate_seconds=f"{result['evaluate_seconds']:.2f}",
            peak_memory_mb=f"{result['peak_memory_mb']:.0f}",
            epochs=str(result["epochs"]),
            machine=result["machine"],
            versions=result["versions"],
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            digest=job.digest,
        )
        for metric, interval in result["metrics"].items()
    ]
