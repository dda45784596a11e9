"""One job in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import psutil
import pytest
from small_benchmark import TINY, asking, changed, with_pretrained

import zoo
from zoo.arrays import load_arrays
from zoo.bench import running
from zoo.bench.definition import jobs
from zoo.bench.margins import ROWS, has_test_rows
from zoo.bench.running import run_jobs
from zoo.bench.worker import peak_memory_mb, run_job
from zoo.evaluation.protocols import PROTOCOLS


def job_for_worker(job, folder):
    described = job.config.model_dump(mode="json", exclude_unset=True)
    return {"config": described, "folder": str(folder), "progress": False}


def test_a_job_is_trained_evaluated_and_measured(benchmark_of, tmp_path):
    job = jobs(benchmark_of(TINY), only=["mf-4"])[0]
    result = json.loads(json.dumps(run_job(job_for_worker(job, tmp_path / "run"))))
    run = zoo.load(tmp_path / "run")
    assert result["metrics"] == run.metrics["full-ranking/test"]["metrics"]
    assert run.config == job.config
    assert (result["protocol"], result["dataset"], result["epochs"]) == ("full-ranking", "synthetic", 2)
    assert result["train_seconds"] == pytest.approx(sum(epoch["seconds"] for epoch in run.history))
    assert 0 < result["evaluate_seconds"] < 60
    assert 100 < result["peak_memory_mb"] < 100_000
    assert "cores" in result["machine"]
    assert f"keras {keras.__version__}" in result["versions"]
    # The second time the run is there already, and only evaluated.
    modified = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    assert run_job(job_for_worker(job, tmp_path / "run"))["metrics"] == result["metrics"]
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == modified


def test_an_interrupted_job_goes_on_from_its_checkpoint(benchmark_of, tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    job = jobs(benchmark_of(TINY), only=["mf-4"])[0]
    settings = job.config.model_dump(mode="json", exclude_unset=True)
    with pytest.raises(KeyboardInterrupt):
        zoo.train(settings.pop("model"), out=tmp_path / "run", progress=False, callbacks=[Interrupt()], **settings)
    with np.load(tmp_path / ".run-unfinished" / "checkpoint.npz") as checkpoint:
        (first,) = json.loads(str(checkpoint["progress"]))["history"]
    result = run_job(job_for_worker(job, tmp_path / "run"))
    assert result["epochs"] == 2
    assert zoo.load(tmp_path / "run").history[0]["seconds"] == pytest.approx(first["seconds"])


def test_a_model_starts_from_the_weights_of_the_runs_before_it(benchmark_of, tmp_path, monkeypatch):
    def run_here(command, input, **options):
        job = json.loads(input)
        Path(job["result"]).write_text(json.dumps(run_job(job)))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(running.subprocess, "run", run_here)
    said = {**with_pretrained(), "seeds": [0]}
    rows, failed = run_jobs("tiny", jobs(benchmark_of(said)), tmp_path, say=lambda line: None)
    assert not failed
    assert {row.label for row in rows} == {"one", "other", "all"}
    folders = {job.label: tmp_path / "runs" / job.folder for job in jobs(benchmark_of(said))}
    assert zoo.load(folders["all"]).config.train.pretrained == {
        "gmf": str(folders["one"]),
        "ncf": str(folders["other"]),
    }


def test_a_model_whose_beginnings_failed_fails_too(benchmark_of, tmp_path, monkeypatch):
    monkeypatch.setattr(running.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, -9))
    said = []
    made = jobs(benchmark_of({**with_pretrained(), "seeds": [0]}))
    rows, failed = run_jobs("tiny", made, tmp_path, say=said.append)
    assert not rows
    assert len(failed) == 3
    assert said[0].startswith("one seed 0: failed. It ended with -9. See ")
    assert said[2] == "all seed 0: failed. There is no run of one seed 0, which it starts from. Run that first."


def test_a_job_ends_with_the_process_that_started_it():
    start = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'zoo.bench.worker'], stdin=0); "
    # The job would wait for ever, because its input stays open.
    starter = subprocess.Popen(
        [sys.executable, "-c", f"{start}print(p.pid, flush=True); p.wait()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdin is not None
    assert starter.stdout is not None
    worker = psutil.Process(int(starter.stdout.readline()))
    # The job watches its parent before it reads.
    time.sleep(3)
    starter.kill()
    starter.wait()
    assert psutil.wait_procs([worker], timeout=20) == ([worker], [])


def test_the_peak_of_memory_is_that_of_this_process():
    before = peak_memory_mb()
    block = np.ones(40 * 2**20, np.uint8)
    assert peak_memory_mb() >= before
    assert block.sum() == len(block)


def test_the_worker_keeps_the_answer_about_each_test_interaction(tmp_path, benchmark_of):
    frame = pd.DataFrame({"user": np.repeat(np.arange(12), 8), "item": np.tile(np.arange(8), 12)})
    frame = frame.assign(rating=1 + (frame["user"] * 3 + frame["item"] * 5) % 5, timestamp=range(96))
    frame.to_csv(tmp_path / "clicks.csv", index=False)
    said = changed(
        data={"source": str(tmp_path / "clicks.csv"), "label_threshold": 3},
        split={"name": "time", "options": {"valid": 0.1, "test": 0.3}},
        **asking(evaluate={"protocol": "ctr", "ks": [5], "resamples": 10}),
    )
    job = jobs(benchmark_of(said), only=["mf-4"])[0]
    assert not has_test_rows(job, tmp_path / "runs")
    folder = tmp_path / "runs" / job.folder
    result = run_job(job_for_worker(job, folder))
    assert has_test_rows(job, tmp_path / "runs")
    rows = load_arrays(folder / ROWS)
    run = zoo.load(folder)
    held_out = run.dataset.part("test")
    assert rows["user"].tolist() == held_out["user"].tolist()
    assert rows["label"].tolist() == held_out["label"].tolist()
    scores = run.model.score({"user": rows["user"]}, held_out["item"].to_numpy())
    np.testing.assert_allclose(rows["score"], scores, rtol=1e-6)
    statistics = PROTOCOLS["ctr"].statistics(rows)
    for metric, interval in result["metrics"].items():
        assert statistics[metric](np.ones(len(held_out))) == pytest.approx(interval["mean"])
