"""What holds for all architectures that learn from the graph of users and items by gradient steps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from graphs import make, query_of

from zoo.layers import derive
from zoo.registry import spec

NAMES = ["lightgcn", "ngcf", "xsimgcl", "ultragcn", "gcmc"]


@pytest.fixture
def half_precision():
    """Layers compute in bfloat16 while this lasts."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_answers_in_half_precision(name, half_precision):
    model = make(name, **spec(name).tiny)
    query = query_of([2, 1], [[], [3, 4]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.score_items(query, tf.constant([[2], [4]]), training=True))
    assert sum(gradient is not None for gradient in tape.gradient(loss, model.trainable_weights)) > 1
    assert np.isfinite(model.score(query, [[2], [4]])).all()


@pytest.mark.parametrize("name", ["lightgcn", "ngcf", "xsimgcl"])
def test_tables_follow_the_trained_weights_when_they_are_derived_anew(name):
    model = make(name, **spec(name).tiny)
    query = query_of([2, 3], [[], []])
    before = model.score(query, [[2], [4]])
    for weight in model.trainable_weights:
        weight.assign(weight * 2)
    np.testing.assert_array_equal(model.score(query, [[2], [4]]), before)
    derive(model)
    assert not np.allclose(model.score(query, [[2], [4]]), before)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_stock_keras_trains_it(name):
    # Without dropout, which may leave nothing of so small a network.
    hparams = {"dropout": 0.0} if "dropout" in spec(name).hparams else {}
    model = make(name, **spec(name).tiny, **hparams)
    model.compile(optimizer="sgd", loss="mse")
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit({**query_of([2, 3], [[], []]), "item": np.array([2, 4])}, np.array([1.0, 0.0]), verbose=0)
    assert any(not np.array_equal(old, new) for old, new in zip(before, model.trainable_weights, strict=True))
