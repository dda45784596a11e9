"""Benchmarks: what a file says, which jobs come of it, how they are run and what is kept of them."""

from __future__ import annotations

import copy
import dataclasses
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
import yaml

import zoo
from zoo.arrays import load_arrays
from zoo.bench import running
from zoo.bench.definition import jobs, list_benchmarks, read_benchmark
from zoo.bench.margins import ROWS, has_test_rows, margins, save_test_rows
from zoo.bench.results import (
    COLUMNS,
    Row,
    best_figures,
    figures,
    read_rows,
    record_rows,
    recorded_results,
    write_rows,
)
from zoo.bench.running import run_jobs
from zoo.bench.summary import summarize
from zoo.bench.worker import peak_memory_mb, run_job
from zoo.errors import UserError, ZooError
from zoo.evaluation.bootstrap import mean_interval
from zoo.evaluation.protocols import PROTOCOLS
from zoo.registry import specs

TINY = {
    "about": "Something small",
    "data": {"source": "synthetic", "options": {"num_users": 40, "num_items": 30, "num_interactions": 300}},
    "split": {"name": "random", "options": {"valid": 0.1, "test": 0.2}},
    "evaluate": {"ks": [5], "resamples": 10},
    "seeds": [0, 1],
    "quick": ["pop"],
    "models": {
        "pop": {"model": "popularity", "targets": {"hr@5": 0.5}, "source": "a paper"},
        "mf-4": {"model": "mf", "hparams": {"embedding_dim": 4}, "train": {"epochs": 2, "batch_size": 64}},
    },
}


def changed(**changes):
    """The small benchmark with other values; dots lead into it."""
    said = copy.deepcopy(TINY)
    for path, value in changes.items():
        *sections, last = path.split("__")
        target = said
        for section in sections:
            target = target[section]
        target[last] = value
    return said


@pytest.fixture
def benchmark_of(tmp_path):
    """Reads a benchmark from what a file says."""

    def read(said):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(said, sort_keys=False))
        return read_benchmark(str(path))[1]

    return read


# What a file says


def test_a_benchmark_has_a_job_for_every_label_and_seed(benchmark_of):
    assert [str(job) for job in jobs(benchmark_of(TINY))] == ["pop seed 0", "pop seed 1", "mf-4 seed 0", "mf-4 seed 1"]


def test_the_seed_is_that_of_training_and_of_a_random_split(benchmark_of):
    for job in jobs(benchmark_of(TINY)):
        assert job.config.train.seed == job.seed
        assert job.config.split.options == {"valid": 0.1, "test": 0.2, "seed": job.seed}
    (job,) = jobs(
        benchmark_of(changed(split={"name": "leave-last-out"}, seeds=[3], models={"pop": TINY["models"]["pop"]}))
    )
    assert job.config.split.options == {}


def test_a_model_may_have_seeds_and_data_of_its_own(benchmark_of):
    benchmark = benchmark_of(changed(models__pop={"model": "popularity", "seeds": [7], "data": {"max_history": 3}}))
    first, *_ = jobs(benchmark)
    assert (first.label, first.seed, first.config.data.max_history) == ("pop", 7, 3)
    assert first.config.data.source == "synthetic"
    assert first.config.data.options == TINY["data"]["options"]


def test_a_model_may_have_another_source_and_one_of_its_features_left_out(benchmark_of):
    data = {"source": "other.csv", "features": {"title": "ignore"}}
    benchmark = benchmark_of(changed(data={"source": "one.csv", "label_threshold": 3}, **{"models__mf-4__data": data}))
    pop, mf = (jobs(benchmark, only=[label])[0].config.data for label in ("pop", "mf-4"))
    assert (pop.source, pop.label_threshold, pop.features) == ("one.csv", 3, None)
    assert (mf.source, mf.label_threshold, mf.features) == ("other.csv", 3, {"title": "ignore"})


def test_what_varies_makes_a_job_of_each_value(benchmark_of):
    benchmark = benchmark_of(changed(vary={"data.options.num_items": [30, 40]}, seeds=[0]))
    made = [job for job in jobs(benchmark) if job.label == "pop"]
    assert [job.variant for job in made] == ["data.options.num_items=30", "data.options.num_items=40"]
    assert [job.config.data.options["num_items"] for job in made] == [30, 40]
    assert len({job.digest for job in made}) == 2


def test_quick_is_the_first_of_everything(benchmark_of):
    (job,) = jobs(benchmark_of(changed(vary={"data.options.num_items": [30, 40]}, seeds=[5, 6])), quick=True)
    assert str(job) == "pop data.options.num_items=30 seed 5"


def test_only_the_labels_that_are_asked_for(benchmark_of):
    assert {job.label for job in jobs(benchmark_of(TINY), only=["mf-4"])} == {"mf-4"}
    assert {job.label for job in jobs(benchmark_of(TINY), only=["mf-4", "pop"], quick=True)} == {"mf-4", "pop"}
    with pytest.raises(UserError, match=r"Unknown label 'mf4'\. Did you mean 'mf-4'"):
        jobs(benchmark_of(TINY), only=["mf4"])
    with pytest.raises(UserError, match="no labels under 'quick'"):
        jobs(benchmark_of(changed(quick=[])), quick=True)


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"models__mf-4__hparams": {"embedding_dim": 5}}, True),
        ({"models__mf-4__train": {"epochs": 3, "batch_size": 64}}, True),
        ({"evaluate": {"ks": [5, 10], "resamples": 10}}, True),
        ({"data__options": {"num_users": 41, "num_items": 30, "num_interactions": 300}}, True),
        ({"about": "Something else", "quick": [], "models__pop": {"model": "popularity"}}, False),
        # What is at its default is the same whether it is said or not.
        ({"models__mf-4__train": {"epochs": 2, "batch_size": 64, "optimizer": "adam"}}, False),
        ({"models__mf-4__targets": {"hr@5": 0.9}, "models__mf-4__source": "hope"}, False),
    ],
)
def test_the_digest_is_another_one_when_a_setting_is(benchmark_of, change, is_another):
    before, after = (jobs(benchmark_of(said), only=["mf-4"])[0] for said in (TINY, changed(**change)))
    assert (before.digest != after.digest) == is_another
    assert (before.folder != after.folder) == is_another


def with_pretrained():
    gmf = {"model": "gmf", "hparams": {"embedding_dim": 4}, "train": {"epochs": 1}}
    ncf = {"model": "ncf", "hparams": {"embedding_dim": 4, "hidden": [8]}, "train": {"epochs": 1}}
    neumf = {"model": "neumf", "hparams": {"gmf_dim": 4, "mlp_dim": 4, "hidden": [8]}, "train": {"epochs": 1}}
    models = {"all": {**neumf, "pretrained": {"gmf": "one", "ncf": "other"}}, "one": gmf, "other": ncf}
    return changed(models=models, quick=[], seeds=[0, 1])


def test_what_weights_are_taken_from_comes_first_with_the_same_seed(benchmark_of):
    made = jobs(benchmark_of(with_pretrained()), only=["all"])
    assert [str(job) for job in made] == [
        f"{label} seed {seed}" for seed in (0, 1) for label in ("one", "other", "all")
    ]
    assert made[2].pretrained == {"gmf": made[0], "ncf": made[1]}
    assert len(jobs(benchmark_of(with_pretrained()))) == 6


def test_other_settings_of_what_weights_are_taken_from_make_another_digest(benchmark_of):
    before = {str(job): job.digest for job in jobs(benchmark_of(with_pretrained()))}
    said = with_pretrained()
    said["models"]["one"]["train"]["epochs"] = 2
    after = {str(job): job.digest for job in jobs(benchmark_of(said))}
    assert {name for name in before if before[name] != after[name]} == {
        f"{label} seed {seed}" for label in ("one", "all") for seed in (0, 1)
    }


# Mistakes in a file


def asking(evaluate=None, **entry):
    """The changes that have `mf-4` asked to be better than `pop`, less what is said here."""
    margin = {"model": "mf", "margins": {"pop": {"auc": 0.1}}}
    return {
        "evaluate": {"protocol": "labels"} if evaluate is None else evaluate,
        "models__pop": {"model": "popularity"},
        "models__mf-4": {**margin, **entry},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": [0]}, "Unknown key 'seed'. Did you mean 'seeds'"),
        ({"models__pop": {"model": "popularity", "target": {}}}, "'models.pop' 'target'. Did you mean 'targets'"),
        (
            {"models__pop": {"model": "popularty"}},
            "models.pop: Unknown architecture 'popularty'. Did you mean 'popularity'",
        ),
        ({"models__mf-4__hparams": {"dim": 4}}, "models.mf-4: Unknown hparam of 'mf' 'dim'"),
        (
            {"models__mf-4__train": {"epoch": 2}},
            "models.mf-4: Unknown setting in 'train' 'epoch'. Did you mean 'epochs'",
        ),
        ({"models__mf-4__train": {"epochs": "many"}}, "models.mf-4: 'many' is not an integer: setting 'train.epochs'"),
        ({"data": {"sources": "synthetic"}}, "lacks the key 'source'"),
        ({"data": {"source": "synthetic", "max_histroy": 3}}, "'max_histroy'. Did you mean 'max_history'"),
        ({"split": {"name": "randm"}}, "Unknown split 'randm'. Did you mean 'random'"),
        ({"evaluate": {"protocl": "labels"}}, "'protocl'. Did you mean 'protocol'"),
        ({"evaluate": {"protocol": "label"}}, "Unknown protocol 'label'. Did you mean 'labels'"),
        ({"seeds": []}, "'seeds': .*at least 1"),
        ({"seeds": [-1]}, "'seeds.0': .*greater than or equal to 0"),
        ({"models": {}}, "'models': .*at least 1"),
        ({"models": ["mf"]}, "'models': .*valid dictionary"),
        ({"models__pop": "popularity"}, "'models.pop': expected keys and values. Received: 'popularity'"),
        ({"models__..": {"model": "mf"}}, r"'models\.\.\..*': .*match pattern"),
        ({"quick": ["popp"]}, "Unknown label in 'quick' 'popp'. Did you mean 'pop'"),
        ({"vary": {"fold": [1]}}, "expected a dotted setting such as data.options.fold. Received: 'fold'"),
        ({"vary": {"data.options.fold": []}}, "'vary.data.options.fold': .*at least 1"),
        ({"vary": {"date.options.fold": [1]}}, "Unknown setting 'date'. Did you mean 'data'"),
        ({"models__pop__targets": {"hr@10": 0.5}}, "Unknown metric in 'targets' 'hr@10'. Did you mean 'hr@5'"),
        ({"models__pop__source": ""}, "models.pop: has targets but no 'source'"),
        ({"models__mf-4__pretrained": {"mf": "pp"}}, "Unknown label in 'pretrained' 'pp'"),
        ({"models__mf-4__pretrained": {"gmf": "pop"}}, "'pretrained' wants 'gmf', but 'pop' is 'popularity'"),
        ({"models__mf-4__pretrained": {"mf": "mf-4"}}, "'pretrained' goes in a circle: mf-4 -> mf-4"),
        (asking(margins={"popp": {"auc": 0.1}}), "models.mf-4: Unknown label in 'margins' 'popp'. Did you mean 'pop'"),
        (asking(margins={"pop": {"acu": 0.1}}), "Unknown metric in 'margins.pop' 'acu'. Did you mean 'auc'"),
        (asking(margins={"pop": {"auc": "much"}}), "'models.mf-4.margins.pop.auc': .*valid number.* 'much'"),
        (asking(margins={"pop": {"auc": float("nan")}}), "'models.mf-4.margins.pop.auc': .*finite number"),
        (asking(margins={"pop": 0.1}), "'models.mf-4.margins.pop': .*valid dictionary"),
        (asking(margins=["pop"]), "'models.mf-4.margins': .*valid dictionary"),
        (asking(margins={"mf-4": {"auc": 0.1}}), "models.mf-4: 'margins' compares 'mf-4' with itself"),
        (asking(seeds=[7]), "'pop', which has no seed in common: .7,. and .0, 1."),
        (asking(data={"source": "ml-1m"}), "'pop', whose data is 'synthetic' and not 'ml-1m'"),
        (asking(evaluate={"protocol": "full-ranking"}), "single interactions .ctr, labels, ratings.*'full-ranking'"),
        (asking(evaluate={}), "'margins' need an evaluate.protocol.* Received: None"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file_and_the_place(benchmark_of, change, message):
    with pytest.raises(UserError, match=rf"tiny\.yaml: .*{message}"):
        benchmark_of(changed(**change))


def test_an_unknown_benchmark_gives_the_near_names_and_all_there_are():
    with pytest.raises(UserError, match=r"Unknown benchmark 'synthetc'\. Did you mean 'synthetic'\?.*ncf-ml1m, .*YAML"):
        read_benchmark("synthetc")
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read"):
        read_benchmark("nowhere.yaml")


@pytest.mark.parametrize("name", list_benchmarks())
def test_every_benchmark_that_comes_with_the_package_is_sound(name):
    read, benchmark = read_benchmark(name)
    assert read == name
    assert benchmark.quick
    assert jobs(benchmark, quick=True)
    assert {job.config.model for job in jobs(benchmark)} <= set(specs())


# Running


def result_of(job, value=0.5):
    """What a worker would give."""
    interval = {"mean": value, "low": value - 0.1, "high": value + 0.1, "level": 0.95}
    return {
        "protocol": "full-ranking",
        "about": "",
        "metrics": {"hr@5": interval, "ndcg@5": {**interval, "mean": value / 2}},
        "dataset": "synthetic",
        "train_seconds": 1.5,
        "evaluate_seconds": 0.25,
        "peak_memory_mb": 700.4,
        "epochs": 3,
        "machine": "Some CPU, 2 cores, 8 GB",
        "versions": "python 3.11",
    }


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


def test_what_has_ended_is_not_run_again(benchmark_of, worked, tmp_path):
    first, _ = run_all(benchmark_of(TINY), tmp_path, only=["pop"])
    again, _ = run_all(benchmark_of(TINY), tmp_path)
    assert worked == ["pop seed 0", "pop seed 1", "mf-4 seed 0", "mf-4 seed 1"]
    assert again[:4] == first


def test_what_another_process_adds_to_the_table_meanwhile_stays(benchmark_of, worked, tmp_path, monkeypatch):
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


def test_what_fails_leaves_the_others(benchmark_of, worked, tmp_path):
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


def test_without_data_nothing_is_written(benchmark_of, worked, tmp_path):
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
    # Once more, when nothing but this is left to do.
    again, failed = run_all(benchmark, tmp_path / "out")
    assert again == rows
    assert {job.label for job in failed} == {"broken"}


def test_a_file_in_the_way_is_named(benchmark_of, worked, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match=r"out.*cannot be"):
        run_all(benchmark_of(TINY), tmp_path / "out")


# One job


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
    # Once more: it is there already, and only evaluated.
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
    assert said[2] == "all seed 0: failed. It starts from one seed 0, of which there is no run."


def test_a_job_ends_with_the_process_that_started_it():
    start = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'zoo.bench.worker'], stdin=0); "
    # The job's input stays open, so it would wait for ever.
    starter = subprocess.Popen(
        [sys.executable, "-c", f"{start}print(p.pid, flush=True); p.wait()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdin is not None
    assert starter.stdout is not None
    worker = psutil.Process(int(starter.stdout.readline()))
    # Until it watches, which it does before it reads.
    time.sleep(3)
    starter.kill()
    starter.wait()
    assert psutil.wait_procs([worker], timeout=20) == ([worker], [])


def test_the_peak_of_memory_is_that_of_this_process():
    before = peak_memory_mb()
    block = np.ones(40 * 2**20, np.uint8)
    assert peak_memory_mb() >= before
    assert block.sum() == len(block)


# Margins

# Four interactions of two users.
USERS, LABELS = np.array([2, 2, 3, 3]), np.array([1.0, 0.0, 1.0, 0.0])
RIGHT, WRONG = np.array([2.0, 1.0, 2.0, 1.0]), np.array([1.0, 2.0, 1.0, 2.0])


def rows_of(scores, users=USERS, labels=LABELS, **more):
    return {"user": users, "label": labels, "score": np.asarray(scores), **more}


@pytest.fixture
def margins_of(benchmark_of, tmp_path):
    """The margins of `mf-4` over `pop`, after runs that left these rows, by seed."""

    def compare(own, others, least, protocol="labels"):
        benchmark = benchmark_of(changed(**asking(margins={"pop": least}, evaluate={"protocol": protocol})))
        for label, seeds in (("mf-4", own), ("pop", others)):
            for job in jobs(benchmark, only=[label]):
                if job.seed in seeds:
                    folder = tmp_path / "runs" / job.folder
                    folder.mkdir(parents=True)
                    save_test_rows(folder, seeds[job.seed])
                    assert [path.name for path in folder.iterdir()] == [ROWS]
        return {margin.metric: margin for margin in margins(benchmark, tmp_path / "runs", ["pop", "mf-4"])}

    return compare


def test_a_margin_is_the_mean_gain_over_seeds(margins_of):
    # AUC 1 against 0 by seed 0, and 1 against 3 / 4 by seed 1.
    worse = rows_of([2.0, 1.0, 1.5, 1.7])
    found = margins_of({0: rows_of(RIGHT), 1: rows_of(RIGHT)}, {0: rows_of(WRONG), 1: worse}, {"auc": 0.625})
    margin = found["auc"]
    assert (margin.label, margin.other, margin.least, margin.seeds) == ("mf-4", "pop", 0.625, 2)
    assert margin.interval.mean == (1 + 0.25) / 2
    assert margin.verdict == "met"
    # Of user 2 alone seed 1 gains nothing, and of user 3 alone it gains 1.
    assert (margin.interval.low, margin.interval.high) == (0.5, 1.0)


def test_a_fall_of_the_log_loss_is_a_gain(margins_of):
    own, others = rows_of([3.0, -3.0, 3.0, -3.0]), rows_of(np.zeros(4))
    expected = np.log(2) - np.log1p(np.exp(-3))
    margin = margins_of({0: own}, {0: others}, {"log_loss": 0.65})["log_loss"]
    assert margin.interval.mean == pytest.approx(expected)
    assert margin.interval.low == margin.interval.high == pytest.approx(expected)
    assert (margin.verdict, margin.is_met, margin.to_json()["met"]) == ("missed", False, False)


def test_a_model_gains_nothing_over_itself(margins_of):
    rng = np.random.default_rng(0)
    users, labels = rng.integers(2, 9, 60), rng.integers(0, 2, 60).astype(float)
    rows = {seed: rows_of(rng.normal(size=60), users, labels, is_cold=np.arange(60) < 30) for seed in (0, 1)}
    found = margins_of(rows, rows, {"auc": 0.0, "log_loss": 0.0, "auc_cold": 0.0, "accuracy": 0.001}, "ctr")
    for margin in found.values():
        assert (margin.interval.mean, margin.interval.low, margin.interval.high) == (0, 0, 0)
    assert {metric: margin.verdict for metric, margin in found.items()} == {
        **{"auc": "met", "log_loss": "met", "auc_cold": "met"},
        "accuracy": "missed",
    }


def test_an_interval_is_that_of_the_differences_of_users(margins_of):
    rng = np.random.default_rng(1)
    users, labels = np.repeat(np.arange(2, 42), 5), rng.integers(0, 2, 200).astype(float)
    signs = 2 * labels - 1
    own, others = rng.normal(size=200), rng.normal(size=200)
    margin = margins_of({0: rows_of(own, users, labels)}, {0: rows_of(others, users, labels)}, {"log_loss": 0.0})[
        "log_loss"
    ]
    # Each user has as many rows, so the mean over rows is one over users.
    by_user = (np.logaddexp(0, -signs * others) - np.logaddexp(0, -signs * own)).reshape(40, 5).mean(axis=1)
    expected = mean_interval(by_user)
    assert dataclasses.astuple(margin.interval) == pytest.approx(dataclasses.astuple(expected))


def test_only_seeds_that_ran_of_both_are_compared(margins_of):
    margin = margins_of({0: rows_of(RIGHT), 1: rows_of(WRONG)}, {0: rows_of(WRONG)}, {"auc": 0.5})["auc"]
    assert (margin.seeds, margin.interval.mean) == (1, 1.0)


@pytest.mark.parametrize("ran", ["own", "others", "neither"])
def test_a_margin_of_what_did_not_run_says_so(margins_of, ran):
    own, others = ({0: rows_of(RIGHT)} if ran == which else {} for which in ("own", "others"))
    margin = margins_of(own, others, {"auc": 0.0})["auc"]
    assert (margin.verdict, margin.is_met, margin.interval, margin.seeds) == ("not run", None, None, 0)


def test_runs_on_other_interactions_are_not_compared(margins_of):
    others = rows_of(RIGHT, users=np.array([2, 2, 2, 3]))
    assert margins_of({0: rows_of(RIGHT)}, {0: others}, {"auc": 0.0})["auc"].verdict == "other interactions"


def test_a_metric_that_the_interactions_do_not_give_is_undefined(margins_of):
    rows = rows_of(RIGHT, is_cold=np.array([True, False, False, False]))
    found = margins_of({0: rows}, {0: rows}, {"auc": 0.0, "auc_cold": 0.0}, "ctr")
    assert {metric: margin.verdict for metric, margin in found.items()} == {"auc": "met", "auc_cold": "undefined"}


def test_margins_are_those_of_the_labels_that_are_asked_for(benchmark_of, tmp_path):
    benchmark = benchmark_of(changed(**asking()))
    assert margins(benchmark, tmp_path, ["pop"]) == []
    assert [margin.metric for margin in margins(benchmark, tmp_path, ["mf-4"])] == ["auc"]


def test_a_run_that_is_compared_is_made_again_if_its_interactions_are_gone(benchmark_of, worked, tmp_path):
    said = changed(**asking())
    said["models"]["alone"] = {"model": "mf", "train": {"epochs": 1}}
    benchmark = benchmark_of(said)
    made = jobs(benchmark)
    assert {job.label for job in made if job.is_compared} == {"pop", "mf-4"}
    run_all(benchmark, tmp_path)
    for job in made[:3]:
        save_test_rows(tmp_path / "runs" / job.folder, rows_of(RIGHT))
    del worked[:]
    run_all(benchmark, tmp_path)
    assert worked == ["mf-4 seed 1"]


def test_the_worker_leaves_what_was_said_of_each_test_interaction(tmp_path, benchmark_of):
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


# The table


ROW = Row(
    *("tiny", "synthetic", "full-ranking", "pop", "popularity", "", "0", "ndcg@5", "0.5", "0.4", "0.6"),
    *("1.0", "0.1", "700", "0", "CPU, 2 cores", "python 3", "2026-01-01", "abc"),
)


def row(**changes):
    return dataclasses.replace(ROW, **changes)


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
def test_what_is_no_table_of_results_is_an_error(tmp_path, text, message):
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
