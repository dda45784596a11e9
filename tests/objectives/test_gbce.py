from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective


@pytest.fixture
def data(sequences_of):
    return sequences_of([4, 3, 5], 5, num_items=11)


def test_gbce_without_calibration_is_cross_entropy(data, shaken, loss_of):
    model = shaken("mf", data, embedding_dim=3)
    plain = make_objective("pointwise", model, data, {"negatives": 3})
    assert loss_of(make_objective("gbce", model, data, {"negatives": 3, "t": 0.0})) == loss_of(plain)


@pytest.mark.parametrize("t", [0.25, 0.75, 1.0])
def test_a_positive_has_the_chance_of_its_score_to_the_power_beta(data, shaken, batch_of, loss_of, t):
    model = shaken("mf", data, embedding_dim=3)
    objective = make_objective("gbce", model, data, {"negatives": 4, "t": t})
    batch = batch_of(np.arange(objective.num_examples))
    events = objective._at(batch.examples)
    negatives, _ = objective._sampler(events, batch)
    query = {"user": events.users.numpy()}
    above = 1 / (1 + np.exp(-model.score(query, events.items.numpy()).astype(np.float64)))
    below = 1 / (1 + np.exp(-model.score(query, negatives.numpy()).astype(np.float64)))
    # Four of the ten items that are not the positive; the paper's formula as it stands there.
    rate = 4 / 10
    beta = rate * (t * (1 - 1 / rate) + 1 / rate)
    losses = -(np.log(above**beta) + np.log(1 - below).sum(axis=1)) / 5
    assert loss_of(objective) == pytest.approx(losses.mean(), rel=1e-5)


def test_all_negatives_leave_nothing_to_calibrate(data, shaken, loss_of):
    model = shaken("mf", data, embedding_dim=3)
    losses = [loss_of(make_objective("gbce", model, data, {"negatives": 10, "t": t})) for t in (0.0, 1.0)]
    assert losses[0] == losses[1]


def test_extreme_scores_keep_a_finite_loss_and_gradient(data, shaken, batch_of):
    model = shaken("mf", data, embedding_dim=3)
    for weight in model.trainable_weights:
        weight.assign(weight * 300)
    objective = make_objective("gbce", model, data, {"negatives": 2, "t": 1.0})
    with tf.GradientTape() as tape:
        total, _ = objective.loss(batch_of(np.arange(12)))
    gradients = tape.gradient(total, [weight.value for weight in model.trainable_variables])
    assert float(total) > 1e4
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": 4, "t": 1.1}, r"t must be between 0 and 1\. Received: 1\.1"),
        ({"negatives": 4, "t": -0.1}, r"t must be between 0 and 1\. Received: -0\.1"),
        ({"negatives": 11}, r"negatives must be at most 10, the items of the catalogue minus one\. Received: 11"),
        ({"negatives": 0}, r"negatives must be at least 1\. Received: 0"),
    ],
)
def test_options_out_of_range_are_refused(data, options, message):
    with pytest.raises(UserError, match=message):
        make_objective("gbce", zoo.build("mf", data.schema), data, options)
