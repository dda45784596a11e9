"""What a run is worth beside popularity, which every evaluation says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import zoo
from zoo.comparison import compare
from zoo.config import make_config
from zoo.evaluation import samples
from zoo.evaluation.bootstrap import cluster_interval, difference_interval
from zoo.evaluation.evaluation import Margin
from zoo.evaluation.interval import Interval
from zoo.evaluation.popularity import popularity_of
from zoo.evaluation.protocols import evaluate
from zoo.evaluation.ranking import per_user_ranking
from zoo.run import Run
from zoo.training.advice import advised
from zoo.training.fitting import interaction_matrix

WORSE = Margin("ndcg@10", Interval(-0.02, -0.03, -0.01, level=0.95), "worse", 40)


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


def solved(data):
    model = zoo.build("popularity", data.schema)
    model.solver(interaction_matrix(data))
    return model


def random_run(data, seed=0, **settings):
    """A run of a model with random weights, which ranks at random."""
    model = zoo.build("mf", data.schema, embedding_dim=4)
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(seed).normal(0, 1, weight.shape))
    config = make_config("mf", {"hparams": {"embedding_dim": 4}, "evaluate": {"resamples": 100}, **settings})
    return Run(model, data, config, [])


def with_labels(data):
    labels = (data.interactions["label"] > 3).astype(np.float32)
    return dataclasses.replace(data, interactions=data.interactions.assign(label=labels))


@pytest.mark.parametrize("part", ["valid", "test"])
def test_it_is_the_ranking_of_the_architecture_popularity(small, part):
    users, expected = per_user_ranking(solved(small), small, part, (5,))
    found_users, found = per_user_ranking(popularity_of(small), small, part, (5,))
    np.testing.assert_array_equal(found_users, users)
    np.testing.assert_array_equal(found["ndcg@5"], expected["ndcg@5"])


def test_the_margin_is_that_of_a_comparison_with_a_run_of_popularity(small):
    run = random_run(small)
    baseline = Run(solved(small), small, make_config("popularity"), [])
    (expected,) = (one for one in compare([baseline, run], resamples=100).differences if one.metric == "ndcg@10")
    margin = run.evaluate().margin
    assert margin is not None
    assert (margin.metric, margin.difference, margin.verdict) == ("ndcg@10", expected.interval, expected.verdict)
    assert margin.users == small.part("test")["user"].nunique()


def test_labels_are_compared_by_the_areas_under_their_curves(small):
    data = with_labels(small)
    evaluation = random_run(data).evaluate("labels")
    assert evaluation.margin is not None
    assert evaluation.margin.metric == "auc"
    baseline = evaluate(popularity_of(data), data, "labels", resamples=10)
    ours, theirs = evaluation.statistics["auc"], baseline.statistics["auc"]
    expected = cluster_interval(lambda weights: ours(weights) - theirs(weights), evaluation.row_users, resamples=100)
    assert evaluation.margin.difference == expected


def test_ratings_and_popularity_itself_are_not_compared(small):
    assert Run(solved(small), small, make_config("popularity"), []).evaluate().margin is None
    run = random_run(small, train={"options": {"feedback": "explicit"}})
    run.model.set_rating_scale(3.0, 1.0)
    evaluation = run.evaluate("ratings")
    assert evaluation.margin is None
    assert "beside_popularity" not in evaluation.to_json()


def test_many_users_are_compared_by_a_sample_of_them(small, monkeypatch):
    monkeypatch.setattr(samples, "SCORES", 300)
    monkeypatch.setattr(samples, "FEWEST_USERS", 3)
    evaluation = random_run(small).evaluate()
    assert evaluation.margin is not None
    number = 300 // small.num_items
    assert evaluation.margin.users == number < len(evaluation.users)
    sample = samples.sample_users(small, "test", number)
    users, theirs = per_user_ranking(popularity_of(small), sample, "test", (10,))
    ours = evaluation.per_user["ndcg@10"][np.isin(evaluation.users, users)]
    assert evaluation.margin.difference == difference_interval(ours, theirs["ndcg@10"], resamples=100)


def test_a_sample_leaves_out_only_held_out_interactions(small):
    sample = samples.sample_users(small, "valid", 4, seed=1)
    assert sample.part("valid")["user"].nunique() == 4
    assert sample.part("train", "test").equals(small.part("train", "test"))
    assert samples.sample_users(small, "valid", 10**6) is small


def test_a_run_keeps_its_margin(small, tmp_path):
    run = random_run(small)
    line = str(run.evaluate().margin)
    assert line in str(run)
    loaded = Run.load(run.save(tmp_path / "run"))
    assert line in str(loaded)
    kept = json.loads((tmp_path / "run" / "metrics.json").read_text())["full-ranking/test"]["beside_popularity"]
    assert str(Margin.from_json(kept)) == line


def test_a_worse_run_is_called_worse_and_told_what_to_try(small):
    margin = random_run(small).evaluate().margin
    assert margin is not None
    assert margin.verdict != "better"
    assert "Hold out a validation part" in str(margin)
    assert "ials or itemknn" in str(margin)


def history_of(*values):
    return [{"loss": 1.0, "seconds": 0.1, "ndcg@10": value} for value in values]


@pytest.mark.parametrize(
    ("values", "epochs", "said"),
    [
        ((0.1, 0.2, 0.3), 3, "The last epoch was the best: try train.epochs=6."),
        ((0.3, 0.2, 0.1, 0.1), 20, "Epoch 1 was the best: try train.learning_rate=0.001"),
        ((0.1, 0.2, 0.3, 0.1), 20, "Epoch 3 of 4 was the best"),
    ],
)
def test_the_course_of_training_tells_what_to_try(values, epochs, said):
    config = make_config("mf", {"train": {"epochs": epochs, "learning_rate": 0.003}})
    assert any(said in sentence for sentence in advised(WORSE, config, history_of(*values)).advice)


def test_the_epochs_of_a_refit_tell_nothing(small):
    history = [*history_of(0.1, 0.3, 0.2), {"loss": 0.5, "seconds": 0.1, "ndcg@10": float("nan"), "refit": 1.0}]
    config = make_config("mf", {"train": {"epochs": 3}})
    assert any("Epoch 2" in sentence for sentence in advised(WORSE, config, history).advice)


def test_advice_is_for_runs_that_are_not_better():
    better = dataclasses.replace(WORSE, verdict="better")
    assert advised(better, make_config("mf"), history_of(0.1)).advice == ()


def test_architectures_named_in_advice_are_registered():
    named = " ".join(advised(WORSE, make_config("ease"), []).advice)
    assert {"ials", "itemknn"} <= set(zoo.list_models()) & set(named.replace(".", "").split())


def test_an_architecture_says_which_data_it_is_not_meant_for(monkeypatch):
    known = dataclasses.replace(zoo.info("mf"), unfit="data without users")
    monkeypatch.setattr("zoo.training.advice.spec", lambda name: known)
    assert advised(WORSE, make_config("mf"), []).advice[0] == "mf is not meant for data without users."


def test_architectures_that_learn_from_order_are_not_meant_for_splits_that_know_none():
    ordered = {name for name, one in zoo.registry.specs().items() if one.ordered}
    assert {"sasrec", "bert4rec", "gru4rec", "lstm"} <= ordered
    for name in ordered:
        assert "such as random" in zoo.info(name).not_meant_for
        assert "split.name=leave-last-out" in advised(WORSE, make_config(name), []).advice[0]
    assert zoo.info("mf").not_meant_for == ""
