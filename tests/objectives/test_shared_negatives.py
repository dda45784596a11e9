from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.objectives import make_objective
from zoo.schema import FIRST_KNOWN


@pytest.fixture
def data(sequences_of):
    return sequences_of([4, 3, 5, 1], 5, num_items=9)


def softplus(values):
    return np.log(1 + np.exp(np.asarray(values, np.float64)))


def expected_loss(model, data, negatives):
    """The mean loss if every draw of an own uniform negative were its average over all that can be drawn."""
    total, count = 0.0, 0
    catalogue = np.arange(FIRST_KNOWN, data.num_items)
    for row in data.part("train").itertuples():
        unseen = np.setdiff1d(catalogue, data.sequences("train").of(row.user))
        query = {"user": np.array([row.user])}
        total += softplus(-model.score(query, np.array([row.item])))[0]
        total += negatives * softplus(model.score(query, unseen[None])).mean()
        count += 1 + negatives
    return total / count


@pytest.mark.parametrize("name", ["mf", "ncf"])
def test_the_whole_catalogue_shared_gives_what_own_uniform_negatives_give_on_average(data, shaken, loss_of, name):
    model = shaken(name, data)
    shared = make_objective("pointwise", model, data, {"negatives": 3, "shared": 9})
    assert loss_of(shared) == pytest.approx(expected_loss(model, data, 3), rel=1e-4)


def test_shared_and_own_negatives_cost_the_same_over_many_batches(data, shaken, losses_of_steps):
    model = shaken("mf", data, embedding_dim=3)
    shared = make_objective("pointwise", model, data, {"negatives": 2, "shared": 4})
    losses = losses_of_steps(shared, np.arange(shared.num_examples), 300)
    error = np.std(losses) / np.sqrt(len(losses))
    assert abs(np.mean(losses) - expected_loss(model, data, 2)) < 4 * error


def test_seen_items_count_too_if_that_is_asked_for(data, shaken, loss_of):
    model = shaken("mf", data, embedding_dim=3)
    objective = make_objective("pointwise", model, data, {"negatives": 3, "shared": 9, "avoid_seen": False})
    rows = data.part("train")
    query, everything = {"user": rows["user"].to_numpy()}, np.arange(FIRST_KNOWN, data.num_items)
    above = softplus(-model.score(query, rows["item"].to_numpy()))
    below = softplus(model.score(query, np.tile(everything, (len(rows), 1)))).mean(axis=1)
    assert loss_of(objective) == pytest.approx((above + 3 * below).mean() / 4, rel=1e-5)


def test_only_looked_up_rows_of_the_tables_have_gradients(data, shaken, batch_of):
    """A sampled step must cost what its batch costs, however large the catalogue."""
    model = shaken("mf", data, embedding_dim=3)
    for name, options in {
        "pointwise": {"shared": 4},
        "bpr": {},
        "gbce": {"negatives": 2},
        "sampled_softmax": {"negatives": 4},
        "in_batch_softmax": {},
    }.items():
        objective = make_objective(name, model, data, options)
        with tf.GradientTape() as tape:
            total, _ = objective.loss(batch_of([0, 1]))
        for gradient in tape.gradient(total, [weight.value for weight in model.trainable_variables]):
            assert gradient is None or isinstance(gradient, tf.IndexedSlices), name
