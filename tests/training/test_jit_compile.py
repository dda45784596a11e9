from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError


def xla_run(data, **settings):
    settings = {
        "epochs": 2,
        "batch_size": 16,
        "steps_per_execution": 3,
        "patience": None,
        "weight_decay": 0.0,
        **settings,
    }
    return zoo.train("mf", data, hparams={"embedding_dim": 4}, train=settings, progress=False)


def test_a_run_compiled_by_xla_learns_the_same(datasets):
    sgd = {"optimizer": "sgd", "learning_rate": 5.0, "schedule": "linear", "options": {"shared": 8}}
    plain, compiled = (xla_run(datasets["ids"], jit_compile=xla, **sgd) for xla in (False, True))
    for weight, expected in zip(compiled.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)
    for epoch, expected in zip(compiled.history, plain.history, strict=True):
        assert epoch["loss"] == pytest.approx(expected["loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "plain sgd"),
        ({"optimizer": "sgd", "l2": 0.1}, "plain sgd"),
        ({"optimizer": "sgd", "global_clipnorm": 1.0}, "train.global_clipnorm"),
    ],
)
def test_settings_that_xla_cannot_compile_are_refused(datasets, settings, message):
    with pytest.raises(UserError, match=message):
        xla_run(datasets["ids"], jit_compile=True, **settings)


def test_an_objective_that_xla_cannot_compile_says_so(datasets):
    settings = {
        "epochs": 1,
        "batch_size": 4,
        "optimizer": "sgd",
        "jit_compile": True,
        "options": {"feedback": "explicit"},
    }
    with pytest.raises(UserError, match=r"XLA cannot compile this training .*leave train\.jit_compile out"):
        zoo.train("item_autoencoder", datasets["ids"], hparams={"hidden": 4}, train=settings, progress=False)
