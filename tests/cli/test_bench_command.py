"""`zoo bench` and `zoo compare`: their output, their exit codes, the files they leave, and where results are shown."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo import config
from zoo.bench import definition, running
from zoo.bench.margins import save_test_rows
from zoo.bench.results import read_rows, write_rows
from zoo.errors import ZooError

TINY = """
about: Something small
data: {source: synthetic, options: {num_users: 40, num_items: 30, num_interactions: 300}}
split: {name: random, options: {valid: 0.1, test: 0.2}}
evaluate: {ks: [5], resamples: 10}
quick: [pop]
models:
  pop:
    model: popularity
    targets: {hr@5: 0.01, ndcg@5: 0.99}
    source: a paper
  broken:
    model: popularity
    train: {options: {negatives: 4}}
"""


@pytest.fixture
def no_process(monkeypatch):
    """Jobs end at once with the same figures, without a process."""

    def run(job, out, data_root, progress):
        if job.label == "broken":
            raise ZooError("It broke.")
        interval = {"mean": 0.5, "low": 0.4, "high": 0.6, "level": 0.95}
        return {
            "protocol": "full-ranking",
            "metrics": {"hr@5": interval, "ndcg@5": interval},
            "dataset": "synthetic",
            **{"train_seconds": 1.0, "evaluate_seconds": 1.0, "peak_memory_mb": 1.0, "epochs": 1},
            **{"machine": "CPU", "versions": "python 3"},
        }

    monkeypatch.setattr(running, "_run_in_process", run)


@pytest.fixture
def own_configs(monkeypatch, tmp_path):
    """Configs of the package in a folder that a test may write to."""
    folder = tmp_path / "configs"
    shutil.copytree(config.configs_folder(), folder)
    write_rows(folder / "bench" / "results.csv", [])
    for module in (config, definition):
        monkeypatch.setattr(module, "configs_folder", lambda: folder)
    (folder / "bench" / "tiny.yaml").write_text(TINY)
    return folder


@pytest.fixture
def tiny(tmp_path):
    """The small benchmark as a file."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    return "tiny.yaml"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# bench


def test_each_job_is_a_process_and_one_that_fails_leaves_the_others(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = [sys.executable, "-m", "zoo", "bench", "tiny.yaml"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "pop seed 0: 0.0 s of training" in ran.stderr
    assert "broken seed 0: failed. Error: 'popularity' is solved in closed form" in ran.stderr
    assert ran.stderr.splitlines()[-1] == "Error: Failed: broken seed 0."
    assert "tiny: Something small" in ran.stdout
    (hr,) = [line for line in ran.stdout.splitlines() if " hr@5 " in line]
    assert "0.0100" in hr
    assert " met " in hr
    assert "a paper" in hr
    (ndcg,) = [line for line in ran.stdout.splitlines() if " ndcg@5 " in line]
    assert " missed " in ndcg
    assert listing(tmp_path / "bench" / "tiny") == ["logs", "results.csv", "runs"]
    rows = read_rows(tmp_path / "bench" / "tiny" / "results.csv")
    assert {(row.label, row.protocol, row.dataset) for row in rows} == {("pop", "full-ranking", "synthetic")}
    assert all(int(row.peak_memory_mb) > 100 for row in rows)


def test_targets_decide_the_exit_code_when_they_are_checked(zoo_command, no_process, tiny):
    code, out, _ = zoo_command("bench", tiny, "--only", "pop")
    assert code == 0
    assert "missed" in out
    code, _, err = zoo_command("bench", tiny, "--only", "pop", "--check")
    assert (code, err) == (1, "Error: Missed: pop ndcg@5.\n")


def test_json_has_every_figure_and_nothing_else(zoo_command, no_process, tiny):
    code, out, err = zoo_command("bench", tiny, "--quick", "--out", "results", "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert [(line["metric"], line["mean"], line["target"], line["met"]) for line in answer["figures"]] == [
        ("hr@5", 0.5, 0.01, True),
        ("ndcg@5", 0.5, 0.99, False),
    ]
    assert answer["margins"] == []
    assert Path("results/results.csv").exists()


CLICKS = """
about: Something compared
data: {source: clicks.csv, label_threshold: 3}
split: {name: time, options: {valid: 0.1, test: 0.3}}
evaluate: {protocol: ctr, resamples: 10}
seeds: [0, 1]
models:
  plain: {model: popularity}
  better:
    model: mf
    margins: {plain: {auc: 0.25, log_loss: 0.0}, never-run: {auc: 0.1}}
  never-run: {model: ease}
"""


@pytest.fixture
def clicks(monkeypatch, tmp_path):
    """A benchmark with margins, whose jobs end at once: one model puts all clicks first, the other all alike."""
    rows = [f"{user},{item},{1 + item % 5},{user * 10 + item}" for user in range(4) for item in range(10)]
    (tmp_path / "clicks.csv").write_text("\n".join(["user,item,rating,timestamp", *rows]))
    (tmp_path / "clicks.yaml").write_text(CLICKS)
    labels = np.tile([1.0, 0.0], 4)

    def run(job, out, data_root, progress):
        if job.label == "never-run":
            raise ZooError("It broke.")
        scores = labels if job.label == "better" else np.zeros(8)
        (out / "runs" / job.folder).mkdir()
        rows = {"user": np.repeat([2, 3, 4, 5], 2), "label": labels, "score": scores, "is_cold": labels > 2}
        save_test_rows(out / "runs" / job.folder, rows)
        interval = {"mean": 0.5, "low": 0.4, "high": 0.6, "level": 0.95}
        return {
            "protocol": "ctr",
            "metrics": {"auc": interval, "log_loss": interval, "accuracy": interval},
            "dataset": "clicks",
            **{"train_seconds": 1.0, "evaluate_seconds": 1.0, "peak_memory_mb": 1.0, "epochs": 1},
            **{"machine": "CPU", "versions": "python 3"},
        }

    monkeypatch.setattr(running, "_run_in_process", run)
    return "clicks.yaml"


def test_margins_are_shown_with_their_intervals(zoo_command, clicks):
    code, out, err = zoo_command("bench", clicks, "--only", "better", "--only", "plain")
    assert code == 0, err
    lines = [" ".join(line.split()) for line in out.splitlines() if line.strip().startswith("better")]
    # First the figures: the headline, and what the margins are about.
    assert [line.split()[1] for line in lines[:2]] == ["auc", "log_loss"]
    assert lines[2:] == [
        "better plain auc +0.5000 +0.5000 to +0.5000 2 +0.2500 met",
        # The gain is log 2 minus the mean of log(1 + exp(-1)) and log 2.
        "better plain log_loss +0.1899 +0.1899 to +0.1899 2 +0.0000 met",
        "better never-run auc - - 0 +0.1000 not run",
    ]


def test_a_program_gets_the_margins_too(zoo_command, clicks):
    code, out, _ = zoo_command("bench", clicks, "--only", "better", "--json")
    assert code == 0
    margins = json.loads(out)["margins"]
    assert [(one["other"], one["metric"], one["interval"], one["met"]) for one in margins] == [
        *(("plain", "auc", None, None), ("plain", "log_loss", None, None), ("never-run", "auc", None, None)),
    ]
    # Earlier runs count.
    code, out, _ = zoo_command("bench", clicks, "--only", "plain", "--json")
    assert json.loads(out)["margins"] == []
    code, out, _ = zoo_command("bench", clicks, "--only", "better", "--json")
    first, *_ = json.loads(out)["margins"]
    assert first["interval"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "level": 0.95}
    assert (first["label"], first["least"], first["seeds"], first["met"]) == ("better", 0.25, 2, True)


def test_a_missed_margin_decides_the_exit_code_when_it_is_checked(zoo_command, clicks):
    both = ("--only", "better", "--only", "plain", "--check")
    # A model that was not run has not missed its target.
    assert zoo_command("bench", clicks, *both)[0] == 0
    Path(clicks).write_text(CLICKS.replace("auc: 0.25", "auc: 0.51"))
    code, out, err = zoo_command("bench", clicks, *both)
    assert (code, err) == (1, "Error: Missed: better auc over plain.\n")
    assert "missed" in out


def test_recorded_results_are_shown_by_info_and_in_the_table(zoo_command, no_process, own_configs):
    assert zoo_command("bench", "tiny", "--only", "pop", "--record")[0] == 0
    assert len(read_rows(own_configs / "bench" / "results.csv")) == 2
    _, out, _ = zoo_command("info", "popularity")
    (hr,) = [line for line in out.splitlines() if " hr@5 " in line]
    assert hr.split() == ["tiny", "pop", "full-ranking", "hr@5", "0.5000", "1", "0.0100", "(a", "paper)", "met"]
    (first, _) = json.loads(zoo_command("info", "popularity", "--json")[1])["results"]
    assert (first["benchmark"], first["protocol"], first["mean"], first["target"]) == (
        "tiny",
        "full-ranking",
        0.5,
        0.01,
    )
    _, out, _ = zoo_command("list", "popularity", "--markdown")
    assert out.splitlines()[0].endswith("| best recorded figures |")
    assert out.splitlines()[-1].endswith("| ndcg@5 0.5000 (`tiny`, full-ranking) |")


def test_a_figure_that_was_not_recorded_is_not_shown(zoo_command, no_process, own_configs):
    assert zoo_command("bench", "tiny", "--only", "pop")[0] == 0
    assert "results" not in zoo_command("info", "popularity")[1]
    assert zoo_command("list", "popularity", "--markdown")[1].splitlines()[-1].endswith("| - |")


def test_listing_reads_no_table_library():
    code = "import sys; sys.argv = ['zoo', 'list']; import zoo.cli; zoo.cli.main()"
    watched = (
        f"import atexit, sys\natexit.register(lambda: print({{'pandas', 'tensorflow'}} & set(sys.modules)))\n{code}"
    )
    ran = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["bench", "ncf-ml1"], ["Unknown benchmark 'ncf-ml1'", "'ncf-ml1m'", "synthetic", "YAML file"]),
        (["bench", "nowhere.yaml"], ["nowhere.yaml"]),
        (["bench", "ncf-ml1m", "--data-root", "nowhere"], ["nowhere", "ratings.dat", "Put"]),
        (["bench", "ratings-ml100k", "--data-root", "nowhere"], ["nowhere", "u1.base", "Put"]),
        (["bench", "synthetic", "--only", "mff"], ["Unknown label 'mff'", "'mf'"]),
        (["bench", "wrong.yaml"], ["wrong.yaml", "Unknown key 'model'", "'models'"]),
        (["bench", "ctr", "--data-root", "nowhere"], ["nowhere", "u.data", "Put"]),
        (["compare", "nowhere", "nowhere"], ["nowhere", "not a run"]),
    ],
)
def test_a_mistake_exits_with_2_and_writes_nothing(arguments, parts, zoo_command, tmp_path):
    Path("wrong.yaml").write_text("model: {}\n")
    code, out, err = zoo_command(*arguments)
    assert code == 2, out + err
    assert "Traceback" not in out + err
    for part in parts:
        assert part in err
    assert listing(tmp_path) == ["wrong.yaml"]


# compare


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on the same split, and one on another."""
    import zoo
    from zoo.data import load_dataset

    folder = tmp_path_factory.mktemp("runs")
    for name, model, seed in (("a", "popularity", 0), ("b", "mf", 0), ("c", "popularity", 1)):
        data = load_dataset("synthetic", num_users=40, num_items=30, num_interactions=300, seed=seed)
        settings = {"hparams": {"embedding_dim": 4}, "train": {"epochs": 1}} if model == "mf" else {}
        zoo.train(model, data, out=folder / name, progress=False, evaluate={"resamples": 10}, **settings)
    return folder


def test_compare_shows_metrics_differences_and_settings(zoo_command, runs):
    code, out, err = zoo_command("compare", runs / "a", runs / "b", "--resamples", "50")
    assert code == 0, err
    assert "Protocol full-ranking: " in out
    # Long folders may make it two lines.
    assert f"{runs / 'b'} minus {runs / 'a'}" in " ".join(out.split())
    assert "hparams.embedding_dim" in out
    assert "better" in out or "worse" in out or "no difference that 50 resamples can tell" in out
    code, out, _ = zoo_command("compare", runs / "a", runs / "b", "--resamples", "50", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["runs"] == [str(runs / "a"), str(runs / "b")]
    assert {one["metric"] for one in answer["differences"]} == set(answer["metrics"])
    assert answer["settings"]["model"] == ["popularity", "mf"]


def test_runs_that_cannot_be_compared_say_why(zoo_command, runs):
    code, _, err = zoo_command("compare", runs / "a", runs / "c")
    assert code == 2
    assert "cannot be compared: they differ in" in err
    code, _, err = zoo_command("compare", runs / "a")
    assert code == 2
    assert "at least 2 runs" in err
