"""What is measured for a model card: the baseline, the interactions and the latency."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from export.bundle import measurements as facts
from export.bundle.measurements import baseline_metrics, run_facts
from zoo.data import prepare


def test_a_file_that_is_called_like_a_public_dataset_is_not_taken_for_it(run):
    assert run.dataset.name == "awkward"
    assert run_facts(run)["source"] is None


def test_the_baseline_is_popularity_trained_and_evaluated_on_the_same_split(run):
    popular = zoo.train("popularity", run.dataset, progress=False)
    assert baseline_metrics(run) == popular.metrics


def test_the_baseline_follows_the_ranks_of_the_run(run, make_run):
    other = make_run("mf", run.dataset)
    other.config.evaluate.ks = (1, 3)
    other.evaluate()
    (found,) = baseline_metrics(other).values()
    (own,) = other.metrics.values()
    assert list(found["metrics"]) == list(own["metrics"])
    assert "ndcg@3" in found["metrics"]


def test_popularity_tells_only_the_order_of_labels(make_run, datasets):
    frame = datasets["ids"].interactions[["user", "item"]].assign(rating=lambda rows: (rows["item"] % 3) * 2)
    dataset = prepare(frame, split={"name": "random"}, label_threshold=1)
    labelled = make_run("mf", dataset)
    labelled.evaluate("labels")
    assert set(baseline_metrics(labelled)["labels/test"]["metrics"]) == {"auc"}
    assert set(labelled.metrics["labels/test"]["metrics"]) == {"auc", "log_loss", "accuracy"}


def test_a_baseline_needs_metrics_of_order_and_another_architecture(make_run, datasets, run):
    assert baseline_metrics(make_run("mf", datasets["ids"])) == {}
    popular = make_run("popularity", run.dataset)
    popular.evaluate()
    assert baseline_metrics(popular) == {}
    ratings = make_run("mf", datasets["ids"])
    ratings.metrics = {"ratings/test": {}}
    assert baseline_metrics(ratings) == {}


def test_streamed_data_has_no_baseline_but_its_interactions_are_counted(tmp_path, datasets, make_run):
    frame = datasets["ids"].interactions[["user", "item"]].astype(str)
    frame.to_parquet(tmp_path / "events.parquet")
    dataset = zoo.data.load_dataset(tmp_path / "events.parquet", stream=True)
    streamed = make_run("mf", dataset)
    streamed.metrics = {"full-ranking/test": {}}
    found = run_facts(streamed)
    assert found["baseline"] == {}
    assert sum(found["interactions"].values()) == len(frame)


def test_latency_is_the_median_of_single_queries(monkeypatch, bundle):
    asked = []

    class Slow:
        def run(self, endpoint, inputs):
            asked.append((endpoint, len(inputs["user"])))
            now[0] += durations[len(asked) - 1]

    durations, now = [10.0] * facts.WARM_UP + [0.1, 0.4, 0.2, 0.3, 5.0], [0.0]
    monkeypatch.setattr(facts, "open_runtime", lambda *arguments: Slow())
    monkeypatch.setattr(facts.time, "perf_counter", lambda: now[0])
    requests = {"user": np.array(["a", "b"], object)}
    measured = facts.artefact_facts(bundle.folder, bundle.endpoints, ("onnx",), "1", requests)["artefacts"]["onnx"]
    assert (measured["milliseconds"], measured["calls"]) == (pytest.approx(300), 5)
    assert asked == [("recommend", 1)] * 8
