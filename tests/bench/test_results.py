"""The table of results, and its figures with the targets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_benchmark import asking, changed, row

from zoo.bench import results
from zoo.bench.definition import jobs, read_benchmark
from zoo.bench.results import (
    COLUMNS,
    add_rows,
    best_figures,
    figures,
    read_rows,
    record_rows,
    recorded_results,
    write_rows,
)
from zoo.bench.summary import summarize
from zoo.errors import UserError


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = [row(), row(label="a, b", machine='a "CPU", 2 cores\nand more')]
    write_rows(tmp_path / "results.csv", rows)
    assert read_rows(tmp_path / "results.csv") == rows
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]
    assert read_rows(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table of benchmark results"),
        ("a,b\n1,2\n", "no table of benchmark results"),
        (f"{','.join(COLUMNS)}\n1,2\n", r"results\.csv, row 2: expected 19 values. Received: 2"),
    ],
)
def test_a_file_that_is_no_table_of_results_is_an_error(tmp_path, text, message):
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_rows(tmp_path / "results.csv")


def test_recording_replaces_the_rows_of_the_same_jobs_and_keeps_all_others(tmp_path):
    path = tmp_path / "results.csv"
    old = [row(), row(metric="hr@5"), row(seed="1"), row(label="mf"), row(benchmark="another")]
    write_rows(path, old)
    record_rows(path, "tiny", [row(value="0.7")], {"abc"})
    kept = {(one.benchmark, one.label, one.seed, one.metric, one.value) for one in read_rows(path)}
    assert kept == {
        ("tiny", "pop", "0", "ndcg@5", "0.7"),
        ("tiny", "pop", "1", "ndcg@5", "0.5"),
        ("tiny", "mf", "0", "ndcg@5", "0.5"),
        ("another", "pop", "0", "ndcg@5", "0.5"),
    }
    before = path.read_bytes()
    record_rows(path, "tiny", [row(value="0.7")], {"abc"})
    assert path.read_bytes() == before


def test_recording_drops_figures_of_settings_that_are_no_more(tmp_path):
    path = tmp_path / "results.csv"
    write_rows(path, [row(), row(seed="1"), row(benchmark="another")])
    record_rows(path, "tiny", [row(digest="new")], {"new", "new of seed 1"})
    assert [(one.benchmark, one.seed, one.digest) for one in read_rows(path)] == [
        ("another", "0", "abc"),
        ("tiny", "0", "new"),
    ]


ADDING = """
import dataclasses, sys
from pathlib import Path
from small_benchmark import row
from zoo.bench.results import add_rows

print("ready", flush=True)
sys.stdin.readline()
for seed in range(50):
    add_rows(Path(sys.argv[1]), "tiny", [row(label=sys.argv[2], seed=str(seed))])
"""


def test_processes_that_write_at_the_same_time_lose_no_rows(tmp_path):
    path = tmp_path / "results.csv"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDING, str(path), label],
            cwd=Path(__file__).parent,
            env={
                **os.environ,
                "PYTHONPATH": f"{Path(__file__).parent.parent.parent}{os.pathsep}{Path(__file__).parent}",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for label in ("pop", "mf")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0, 0]
    found = {(one.label, one.seed) for one in read_rows(path)}
    assert found == {(label, str(seed)) for label in ("pop", "mf") for seed in range(50)}


def test_nothing_is_left_beside_a_table(tmp_path):
    add_rows(tmp_path / "results.csv", "tiny", [row()])
    record_rows(tmp_path / "results.csv", "tiny", [row(value="0.7")], {"abc"})
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_lock_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("")
    monkeypatch.setattr(results, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(UserError, match=r"cache.locks.[0-9a-f]{64}\.lock: cannot be written"):
        add_rows(tmp_path / "results.csv", "tiny", [row()])


def test_a_table_in_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"results\.csv: cannot be written"):
        add_rows(tmp_path / "file" / "results.csv", "tiny", [row()])


def test_a_figure_is_the_mean_over_seeds_and_variants():
    rows = [row(), row(seed="1", value="0.7"), row(variant="data.options.fold=1", value="0.9"), row(metric="hr@5")]
    first, second = figures(rows)
    assert (first.metric, first.values, first.mean) == ("ndcg@5", (0.5, 0.7, 0.9), pytest.approx(0.7))
    assert second.metric == "hr@5"


def test_the_best_figure_is_the_headline_of_the_best_label_of_every_benchmark():
    rows = [
        row(value="0.5"),
        row(label="tuned", value="0.6"),
        row(label="tuned", metric="hr@5", value="0.9"),
        row(benchmark="stars", protocol="ratings", metric="rmse", value="0.9"),
        row(benchmark="stars", protocol="ratings", metric="rmse", value="0.8", label="tuned"),
        row(model="mf", protocol="sampled-ranking", metric="hr@10", value="0.7"),
    ]
    best = best_figures(rows)
    assert [(one.label, one.metric, one.mean) for one in best["popularity"]] == [
        ("tuned", "ndcg@5", 0.6),
        ("tuned", "rmse", 0.8),
    ]
    assert [(one.metric, one.mean) for one in best["mf"]] == [("hr@10", 0.7)]


def test_a_summary_has_the_targets_and_whether_they_are_met(benchmark_of):
    targets = {"hr@5": 0.5, "rmse": 0.9, "mae": 0.7}
    benchmark = benchmark_of(changed(models__pop__targets=targets))
    values = {"hr@5": "0.5", "rmse": "0.8", "mae": "0.71", "ndcg@5": "0.3"}
    rows = [row(metric=metric, value=value) for metric, value in values.items()]
    rows += [row(label="mf-4", metric="hr@5"), row(label="mf-4")]
    lines = {(line.figure.label, line.figure.metric): line for line in summarize(benchmark, rows)}
    assert {key: line.verdict for key, line in lines.items()} == {
        ("pop", "hr@5"): "met",
        ("pop", "rmse"): "met",
        ("pop", "mae"): "missed",
        ("mf-4", "ndcg@5"): "-",
    }
    assert lines["pop", "hr@5"].source == "a paper"
    assert lines["pop", "mae"].to_json()["met"] is False
    assert [line.figure.metric for line in summarize(None, rows)] == ["ndcg@5", "ndcg@5"]


def test_a_summary_has_the_headline_and_the_metrics_that_a_margin_is_about(benchmark_of):
    benchmark = benchmark_of(changed(**asking(margins={"pop": {"log_loss": 0.0}})))
    rows = [
        row(label=label, protocol="labels", metric=metric)
        for label in ("pop", "mf-4")
        for metric in ("log_loss", "auc", "accuracy")
    ]
    assert [(line.figure.label, line.figure.metric) for line in summarize(benchmark, rows)] == [
        *(("pop", "log_loss"), ("pop", "auc"), ("mf-4", "log_loss"), ("mf-4", "auc")),
    ]


def test_the_recorded_results_are_of_the_benchmarks_as_they_are_now():
    recorded = read_rows(recorded_results())
    for name in {one.benchmark for one in recorded}:
        known = {(job.key, job.digest) for job in jobs(read_benchmark(name)[1])}
        for one in recorded:
            if one.benchmark == name:
                assert (one.key, one.digest) in known, "Run this benchmark again, with --record."
                assert float(one.low) <= float(one.value) <= float(one.high)
