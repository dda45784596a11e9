"""One file of a user's own adds a protocol and a metric, and every command knows them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PLUGIN = '''
"""A protocol and a metric of a user."""

from zoo.evaluation.metrics import ranking_metric
from zoo.evaluation.protocols import PROTOCOLS
from zoo.evaluation.protocols.full_ranking import FullRanking


@ranking_metric()
def late(hits, num_relevant, k):
    """The share of the lower half of the top k that is held out."""
    return hits[:, k // 2 : k].mean(axis=1)


class ByHalf(FullRanking):
    """The whole catalogue, judged by the lower half of the list."""

    name = "by-half"
    question = "How good is the lower half of a list?"
    headline = "late"
    monitored = "late"
    precedence = 9


PROTOCOLS.register(ByHalf())
'''

PROGRAM = """
import json, sys
import zoo
import zoo.training.fitting
training = sys.modules["zoo.training.fitting"]
from export import export
from zoo.bench.definition import read_benchmark
from zoo.comparison import compare

settings = {
    "data": {"options": {"num_users": 40, "num_items": 30, "num_interactions": 300}},
    "split": {"name": "random", "options": {"valid": 0.2, "test": 0.2}},
    "train": {"epochs": 2},
    "evaluate": {"ks": [4], "resamples": 10},
}
watched = []


class Note(training.Trainer):
    def __init__(self, model, objective, config, validate, monitor, *rest):
        watched.append(monitor)
        super().__init__(model, objective, config, validate, monitor, *rest)


training.Trainer = Note
runs = [zoo.train(name, "synthetic", out=name, progress=False, **settings) for name in ("mf", "popularity")]
asked = {**settings, "train": {"epochs": 1, "monitor": "late@4"}}
zoo.train("mf", "synthetic", progress=False, **asked)
comparison = compare(runs, resamples=10)
bundle = export(runs[0], "bundle", formats=("onnx",))
said = {
    "watched": watched,
    "history": list(runs[0].history[0]),
    "metrics": {key: list(one["metrics"]) for key, one in runs[0].metrics.items()},
    "compared": [comparison.protocol, [one.metric for one in comparison.differences]],
    "targets": dict(read_benchmark("own.yaml")[1].models["mf"].targets),
    "card": open("bundle/README.md", encoding="utf-8").read(),
}
open("said.json", "w").write(json.dumps(said))
"""

BENCHMARK = """
about: Something small
data: {source: synthetic, options: {num_users: 40, num_items: 30, num_interactions: 300}}
split: {name: random}
evaluate: {protocol: by-half, ks: [4], resamples: 10}
quick: [popularity]
models:
  popularity: {model: popularity}
  mf: {model: mf, train: {epochs: 1}, targets: {late@4: 0.0}, source: nobody}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("plugin")
    for name, text in (("own.py", PLUGIN), ("program.py", PROGRAM), ("own.yaml", BENCHMARK)):
        (made / name).write_text(text, encoding="utf-8")
    return made


def run(folder, *arguments):
    environment = {**os.environ, "ZOO_PLUGINS": str(folder / "own.py")}
    ran = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def said(folder):
    run(folder, "program.py")
    return json.loads((folder / "said.json").read_text())


def test_the_help_lists_the_protocol_with_its_question(folder):
    words = " ".join(run(folder, "-m", "zoo", "evaluate", "--help").replace("│", " ").split())
    assert "by-half: How good is the lower half of a list?" in words
    assert all(f"{name}: " in words for name in ("ctr", "full-ranking", "labels", "ratings", "sampled-ranking"))


def test_early_stopping_watches_the_metric_by_default_and_when_it_is_named(said):
    assert said["watched"] == ["late@4", "late@4"]
    assert "late@4" in said["history"]


def test_a_run_is_evaluated_by_the_protocol_with_the_metric(said):
    assert list(said["metrics"]) == ["by-half/test"]
    assert said["metrics"]["by-half/test"][-1] == "late@4"


def test_runs_are_compared_by_them(said):
    protocol, metrics = said["compared"]
    assert protocol == "by-half"
    assert "late@4" in metrics


def test_a_benchmark_may_aim_at_the_metric(said, folder):
    assert said["targets"] == {"late@4": 0.0}
    printed = run(folder, "-m", "zoo", "bench", "own.yaml", "--only", "mf", "--out", "bench")
    assert [line.split()[:2] for line in printed.splitlines() if "late@4" in line] == [["mf", "late@4"]]
    assert ",by-half,mf,mf,,0,late@4," in (folder / "bench" / "results.csv").read_text()


def test_the_card_has_both_and_the_metric_of_popularity(said):
    assert "Protocol `by-half`:" in said["card"]
    (line,) = [line for line in said["card"].splitlines() if line.startswith("| late@4")]
    assert line.count("|") >= 5
