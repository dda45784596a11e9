"""One job of a benchmark in a process of its own: `python -m zoo.bench.worker` with the job as JSON on its input."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import psutil

from zoo.errors import UserError
from zoo.evaluation.evaluation import EvaluationJson

PACKAGES = ("tensorflow", "keras", "recozoo", "numpy")


class JobDescription(TypedDict):
    """A job to run: a resolved `zoo.config.Config`, the folder of the run, and whether progress is shown."""

    config: dict[str, Any]
    folder: str
    progress: bool


class JobResult(EvaluationJson):
    """An evaluation with its costs, as a table of results has it."""

    dataset: str
    train_seconds: float
    evaluate_seconds: float
    peak_memory_mb: float
    epochs: int
    machine: str
    versions: str


def run_job(job: JobDescription) -> JobResult:
    """Trains a model, or resumes where it was interrupted, and evaluates it.

    What margins between runs are made of is kept in the run's folder: scores of test interactions, or figures of users.

    Args:
        job: The job to run.

    Returns:
        The evaluation with its costs.
    """
    from zoo.bench.margins import save_test_rows
    from zoo.evaluation.protocols import PROTOCOLS
    from zoo.run import Run
    from zoo.training.train import train

    folder, settings = Path(job["folder"]), dict(job["config"])
    if (folder / "run.json").exists():  # it was trained, and ended before the table had it
        run = Run.load(folder)
    else:
        run = train(settings.pop("model"), out=folder, resume=True, progress=job["progress"], **settings)
    started = time.perf_counter()
    evaluation = run.evaluate()
    seconds = time.perf_counter() - started
    save_test_rows(folder, PROTOCOLS[evaluation.protocol].comparable_rows(evaluation))
    return {
        **evaluation.to_json(),
        "dataset": run.dataset.name,
        "train_seconds": sum(epoch["seconds"] for epoch in run.history),
        "evaluate_seconds": seconds,
        "peak_memory_mb": peak_memory_mb(),
        "epochs": len(run.history) if run.model.solver is None else 0,
        "machine": machine(),
        "versions": versions(),
    }


def peak_memory_mb() -> float:
    """The most memory that this process has held, in megabytes."""
    if sys.platform == "linux":
        # The value of ru_maxrss would be wrong, because it starts from the memory of the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def machine() -> str:
    """Processor, cores, memory and GPUs, in words."""
    import tensorflow as tf

    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GB"
    names = [gpu.get("device_name", "GPU") for gpu in gpus]
    return ", ".join([_processor(), f"{os.cpu_count()} cores", memory, *names])


def versions() -> str:
    """The versions of Python and of the packages that figures depend on, in words."""
    return ", ".join([f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _end_with(parent: psutil.Process | None) -> None:
    if parent is not None:
        parent.wait()
    os._exit(1)


def main() -> None:
    """Runs the job on the standard input, and writes its result to the path that it names. It ends with its parent."""
    threading.Thread(target=_end_with, args=[psutil.Process().parent()], daemon=True).start()
    job = json.load(sys.stdin)
    try:
        result = run_job(job)
    except UserError as error:
        sys.exit(f"Error: {error}")
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
