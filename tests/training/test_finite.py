"""Weights that are not finite reach no checkpoint, no run and no bundle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from scripted import half_square, trainer_of

import export
import zoo
from zoo.errors import UserError


def train(name, data, out, hparams, **settings):
    return zoo.train(name, data, out=out, progress=False, hparams=hparams, evaluate={"resamples": 20}, train=settings)


@pytest.mark.parametrize("mistake", [{"l2": 3e38}, {"weight_decay": 3e38}])
def test_weights_that_the_last_step_makes_infinite_are_not_published(datasets, tmp_path, mistake):
    # The loss of the only step is finite, because it is that of the weights before.
    once = {"epochs": 1, "batch_size": 100_000, "optimizer": "sgd", "learning_rate": 1e5, **mistake}
    with pytest.raises(UserError, match=r"weight '\w.*' has values that are not finite.* smaller train\.learning_rate"):
        train("mf", datasets["ids"], tmp_path / "run", {"embedding_dim": 4}, **once)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", ["full-ranking", "sampled-ranking"])
def test_weights_so_large_that_scores_are_infinite_are_not_published(datasets, tmp_path, protocol):
    with pytest.raises(UserError, match=r"has given the score (-?inf|nan).* smaller train\.learning_rate"):
        zoo.train(
            "mf",
            datasets["ids"],
            out=tmp_path / "run",
            progress=False,
            hparams={"embedding_dim": 4},
            evaluate={"resamples": 20, "protocol": protocol, "negatives": {"number": 10}},
            train={"epochs": 1, "batch_size": 100_000, "optimizer": "sgd", "learning_rate": 3e38},
        )
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_there_stays_when_the_weights_of_the_next_are_not_finite(datasets, tmp_path):
    train("mf", datasets["ids"], tmp_path / "run", {"embedding_dim": 4}, epochs=1)
    with pytest.raises(UserError, match="not finite"):
        zoo.train(
            "mf",
            datasets["ids"],
            out=tmp_path / "run",
            overwrite=True,
            progress=False,
            train={"epochs": 1, "batch_size": 100_000, "optimizer": "sgd", "learning_rate": 1e5, "l2": 3e38},
        )
    assert zoo.load(tmp_path / "run").config.train.optimizer == "adam"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("name", "hparams", "message"),
    [
        ("gfcf", {"ideal_weight": 1e300}, r"weight '.*' has values that are not finite"),
        ("ials", {"stddev": 1e300}, r"closed form of 'ials' has no solution .*'stddev': 1e\+300"),
        ("ials", {"unobserved_weight": 1e300}, r"'ials' cannot be built with .*1e\+300"),
    ],
)
def test_a_closed_form_without_a_finite_solution_is_not_published(datasets, tmp_path, name, hparams, message):
    with pytest.raises(UserError, match=message):
        train(name, datasets["ids"], tmp_path / "run", {**zoo.info(name).tiny, **hparams})
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_reach_no_checkpoint(tmp_path):
    def blow_up(weights, examples, seed):
        return half_square(weights, examples, seed) * tf.where(seed[0] < 1000003, 0.0, 1e38)

    trainer = trainer_of(blow_up, epochs=2, learning_rate=1e5)
    trainer.folder = tmp_path
    with pytest.raises(UserError, match="has values that are not finite"):
        trainer.fit()
    again = trainer_of(epochs=3)
    again.folder = tmp_path
    again.resume()
    assert again.progress.epoch == 1
    assert all(np.isfinite(weight).all() for weight in again.model.get_weights())


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_recommender_with_a_weight_that_is_not_finite_is_neither_saved_nor_exported(
    make_run, datasets, tmp_path, value
):
    run = make_run("mf", datasets["ids"])
    weight = run.model.weights[-4]
    values = weight.numpy().copy()
    values[-1] = value
    weight.assign(values)
    with pytest.raises(UserError, match=f"weight '{weight.path}' has values that are not finite"):
        run.save(tmp_path / "run")
    with pytest.raises(UserError, match=f"weight '{weight.path}' has values that are not finite"):
        export.export(run, tmp_path / "bundle", formats="onnx")
    assert list(tmp_path.iterdir()) == []
