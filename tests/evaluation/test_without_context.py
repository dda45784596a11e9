"""Rankings have a second figure where a model reads context: that of a request that names none."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import zoo
from zoo.cli.runs import print_evaluation
from zoo.data.dataset import neutral
from zoo.evaluation.protocols import PROTOCOLS, evaluate
from zoo.evaluation.protocols.full_ranking import FullRanking


@pytest.fixture(scope="module")
def data(datasets):
    made = datasets["features"]
    candidates = np.tile(np.arange(2, 14, dtype=np.int32), (made.num_users, 1))
    return dataclasses.replace(made, candidates={"test": candidates})


def model_of(name, data):
    """A model with random weights, which make it heed whatever it reads."""
    model = zoo.build(name, data.schema, **zoo.info(name).tiny)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 1, weight.shape))
    return model


@pytest.fixture(scope="module")
def reader(data):
    model = model_of("deepfm", data)
    assert "device" in model.query_names
    return model


@pytest.mark.parametrize("protocol", ["full-ranking", "sampled-ranking"])
def test_the_second_figures_are_those_of_neutral_context(data, reader, protocol):
    evaluation = evaluate(reader, data, protocol, ks=(5,), resamples=20)
    assert list(evaluation.without_context) == list(evaluation.metrics)
    assert evaluation.without_context != evaluation.metrics
    rows = data.interactions.copy()
    for feature in data.schema.role("context"):
        values = np.repeat(neutral(feature)[None], len(rows), axis=0)
        rows[feature.name] = list(values) if feature.shape else values
    unsaid = evaluate(reader, dataclasses.replace(data, interactions=rows), protocol, ks=(5,), resamples=20)
    assert evaluation.without_context == unsaid.metrics
    assert evaluation.to_json()["without_context"] == unsaid.to_json()["metrics"]


def test_a_model_that_reads_no_context_has_one_figure(data):
    evaluation = evaluate(model_of("mf", data), data, ks=(5,), resamples=20)
    assert evaluation.without_context == evaluation.to_json()["without_context"] == {}


def test_the_second_ranking_is_not_made_between_epochs(data, reader, monkeypatch):
    asked = []
    per_user = FullRanking.per_user

    def noting(self, model, dataset, part, ks, with_context):
        asked.append(with_context)
        return per_user(self, model, dataset, part, ks, with_context)

    monkeypatch.setattr(FullRanking, "per_user", noting)
    PROTOCOLS["full-ranking"].validate(reader, data, (5,))
    assert asked == [True]
    evaluate(reader, data, ks=(5,), resamples=20)
    assert asked == [True, True, False]


def test_both_figures_are_printed(data, reader, capsys):
    run = SimpleNamespace(dataset=data)
    evaluation = evaluate(reader, data, ks=(5,), resamples=20)
    print_evaluation(evaluation.to_json(), run)
    out = capsys.readouterr().out
    assert "without context" in out
    (line,) = [line for line in out.splitlines() if "ndcg@5" in line]
    assert line.split()[-1] == f"{evaluation.without_context['ndcg@5'].mean:.4f}"
    assert f"without context {evaluation.without_context['ndcg@5']}" in str(evaluation)
    print_evaluation({**evaluation.to_json(), "without_context": {}}, run)
    assert "without context" not in capsys.readouterr().out
