"""Fixtures of the tests of benchmarks."""

from __future__ import annotations

import pytest
import yaml
from small_benchmark import result_of

from zoo.bench import running
from zoo.bench.definition import read_benchmark
from zoo.errors import ZooError


@pytest.fixture
def benchmark_of(tmp_path):
    """Reads a benchmark from what a file says."""

    def read(said):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(said, sort_keys=False))
        return read_benchmark(str(path))[1]

    return read


@pytest.fixture
def worked(monkeypatch):
    """The jobs that were run; no process is started. `worked.failing` holds labels that fail, `value` is the figure."""

    class Worked(list):
        failing: tuple[str, ...] = ()
        value = 0.5

    done = Worked()

    def run(job, out, data_root, progress):
        done.append(str(job))
        if job.label in done.failing:
            raise ZooError("It broke.")
        (out / "runs" / job.folder).mkdir(exist_ok=True)
        return result_of(job, done.value)

    monkeypatch.setattr(running, "_run_in_process", run)
    return done
