"""The jobs of a benchmark are run, and their figures are kept."""

from __future__ import annotations

import numpy as np
import pytest
from small_benchmark import TINY, asking, changed, with_pretrained

from zoo.bench import running
from zoo.bench.definition import jobs
from zoo.bench.margins import save_test_rows
from zoo.bench.results import (
    read_rows,
)
from zoo.bench.running import run_jobs
from zoo.errors import UserError


def run_all(benchmark, out, **options):
    return run_jobs("tiny", jobs(benchmark, **options), out, say=lambda line: None)


def test_every_metric_of_every_job_is_a_row(benchmark_of, worked, tmp_path):
    rows, failed = run_all(benchmark_of(TINY), tmp_path / "out", only=["pop"])
    assert not failed
    assert rows == read_rows(tmp_path / "out" / "results.csv")
    assert [(row.label, row.seed, row.metric, row.value) for row in rows] == [
        ("pop", seed, metric, value)
        for seed in ("0", "1")
        for metric, value in (("hr@5", "0.500000"), ("ndcg@5", "0.250000"))
    ]
    row = rows[0]
    assert (row.benchmark, row.dataset, row.protocol, row.model, row.variant) == (
        *("tiny", "synthetic", "full-ranking", "popularity", ""),
    )
    assert (row.low, row.high, row.train_seconds, row.evaluate_seconds) == ("0.400000", "0.600000", "1.50", "0.25")
    assert (row.peak_memory_mb, row.epochs, row.machine, row.versions) == (
        "700",
        "3",
        "Some CPU, 2 cores, 8 GB",
        "python 3.11",
    )
    assert row.digest == jobs(benchmark_of(TINY))[0].digest


def test_a_job_that_has_ended_is_not_run_again(benchmark_of, worked, tmp_path):
    first, _ = run_all(benchmark_of(TINY), tmp_path, only=["pop"])
    again, _ = run_all(benchmark_of(TINY), tmp_path)
    assert worked == ["pop seed 0", "pop seed 1", "mf-4 seed 0", "mf-4 seed 1"]
    assert again[:4] == first


def test_rows_that_another_process_adds_meanwhile_stay(benchmark_of, worked, tmp_path, monkeypatch):
    benchmark, run = benchmark_of(TINY), running._run_in_process

    def run_beside_another(job, *arguments):
        if str(job) == "pop seed 0":
            run_all(benchmark, tmp_path, only=["mf-4"])
        return run(job, *arguments)

    monkeypatch.setattr(running, "_run_in_process", run_beside_another)
    run_all(benchmark, tmp_path, only=["pop"])
    assert {row.label for row in read_rows(tmp_path / "results.csv")} == {"pop", "mf-4"}


def test_another_setting_makes_old_rows_void(benchmark_of, worked, tmp_path):
    run_all(benchmark_of(TINY), tmp_path)
    del worked[:]
    rows, _ = run_all(benchmark_of(changed(**{"models__mf-4__hparams": {"embedding_dim": 5}})), tmp_path)
    assert worked == ["mf-4 seed 0", "mf-4 seed 1"]
    assert len(rows) == 8
    assert rows == read_rows(tmp_path / "results.csv")


def test_a_job_that_fails_leaves_the_others(benchmark_of, worked, tmp_path):
    worked.failing = ("pop",)
    rows, failed = run_all(benchmark_of(TINY), tmp_path)
    assert [str(job) for job in failed] == ["pop seed 0", "pop seed 1"]
    assert {row.label for row in rows} == {"mf-4"}
    worked.failing = ()
    del worked[:]
    run_all(benchmark_of(TINY), tmp_path)
    assert worked == ["pop seed 0", "pop seed 1"]


def test_a_run_whose_weights_are_wanted_is_made_again_if_it_is_gone(benchmark_of, worked, tmp_path):
    benchmark = benchmark_of(with_pretrained())
    run_all(benchmark, tmp_path, only=["one"])
    (job, _) = jobs(benchmark, only=["one"])
    (tmp_path / "runs" / job.folder).rmdir()
    del worked[:]
    run_all(benchmark, tmp_path, only=["one"])
    assert worked == []
    run_all(benchmark, tmp_path, only=["all"])
    assert worked == ["one seed 0", "other seed 0", "all seed 0", "other seed 1", "all seed 1"]


def test_nothing_is_written_if_the_data_is_not_there(benchmark_of, worked, tmp_path):
    benchmark = benchmark_of(changed(data={"source": "ml-1m"}))
    with pytest.raises(UserError, match=r"nowhere \(data_root\) lacks ratings\.dat, .*Put ratings\.dat"):
        run_jobs("tiny", jobs(benchmark), tmp_path / "out", data_root=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()
    assert worked == []


def test_data_of_a_model_that_cannot_be_used_leaves_the_others(benchmark_of, worked, tmp_path):
    broken = {"model": "popularity", "data": {"duplicates": "keep", "max_history": 3, "columns": {"nothing": "user"}}}
    worked.failing = ("broken",)
    benchmark = benchmark_of(changed(models={**TINY["models"], "broken": broken}))
    rows, failed = run_all(benchmark, tmp_path / "out")
    assert {row.label for row in rows} == {"pop", "mf-4"}
    # The second time only this is left to do.
    again, failed = run_all(benchmark, tmp_path / "out")
    assert again == rows
    assert {job.label for job in failed} == {"broken"}


def test_a_file_in_the_way_is_named(benchmark_of, worked, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match=r"out.*cannot be"):
        run_all(benchmark_of(TINY), tmp_path / "out")


def test_a_run_that_is_compared_is_made_again_if_its_interactions_are_gone(benchmark_of, worked, tmp_path):
    said = changed(**asking())
    said["models"]["apart"] = {"model": "mf", "train": {"epochs": 1}}
    benchmark = benchmark_of(said)
    made = jobs(benchmark)
    assert {job.label for job in made if job.is_compared} == {"pop", "mf-4"}
    run_all(benchmark, tmp_path)
    for job in made[:3]:
        save_test_rows(tmp_path / "runs" / job.folder, {"user": np.zeros(1)})
    del worked[:]
    run_all(benchmark, tmp_path)
    assert worked == ["mf-4 seed 1"]
