"""The objectives' own l2: each sample shortens the vectors it is made of, as in a step of plain SGD."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective


@pytest.fixture
def data(sequences_of):
    return sequences_of([4, 3, 5], 5, labels=[1, 2, 5])


def squared_lengths(model, users, items):
    """What the model's two towers give, squared and summed."""
    query = np.asarray(model.encode_query({"user": tf.constant(users)}), np.float64)
    item = np.asarray(model.encode_items(tf.constant(items.reshape(-1))), np.float64)
    return (query**2).sum(1), (item**2).sum(1).reshape(items.shape)


def added_by_l2(name, model, data, batch, **options):
    """What l2=2 adds to the summed loss, so that half of it cancels."""
    (plain, weight), (more, same) = (
        make_objective(name, model, data, {**options, "l2": l2}).loss(batch) for l2 in (0.0, 2.0)
    )
    assert float(weight) == float(same)
    return float(more) - float(plain)


def drawn(name, model, data, batch, **options):
    objective = make_objective(name, model, data, options)
    events = objective._at(batch.examples)
    items, weights = objective._sampler(events, batch)
    return events.users.numpy(), events.items.numpy(), items.numpy(), weights.numpy()


def test_a_positive_and_each_of_its_negatives_count_their_query_and_themselves(data, shaken, batch_of):
    model, batch = shaken("mf", data, embedding_dim=3), batch_of([0, 5, 7, 11])
    users, items, negatives, _ = drawn("pointwise", model, data, batch, negatives=3)
    query, positive = squared_lengths(model, users, items)
    _, negative = squared_lengths(model, users, negatives)
    expected = 4 * query.sum() + positive.sum() + negative.sum()
    assert added_by_l2("pointwise", model, data, batch, negatives=3) == pytest.approx(expected, rel=1e-5)


def test_a_shared_negative_counts_by_its_weight(data, shaken, batch_of):
    model, batch = shaken("mf", data, embedding_dim=3), batch_of([0, 5, 7, 11])
    users, items, negatives, weights = drawn("pointwise", model, data, batch, shared=6)
    query, positive = squared_lengths(model, users, items)
    _, negative = squared_lengths(model, users, negatives)
    assert set(np.unique(weights == 0)) == {True, False}
    expected = positive.sum() + ((1 + weights.sum(1)) * query).sum() + (weights * negative).sum()
    assert added_by_l2("pointwise", model, data, batch, shared=6) == pytest.approx(expected, rel=1e-5)


def test_a_rating_counts_its_user_and_its_item(data, shaken, batch_of):
    model, batch = shaken("mf", data, embedding_dim=3), batch_of([0, 5])
    make_objective("pointwise", model, data, {"feedback": "explicit"})
    events = make_objective("pointwise", model, data, {})._at(batch.examples)
    query, item = squared_lengths(model, events.users.numpy(), events.items.numpy())
    added = added_by_l2("pointwise", model, data, batch, feedback="explicit")
    assert added == pytest.approx(query.sum() + item.sum(), rel=1e-4)


def test_a_pair_of_bpr_counts_its_user_once_and_both_items(data, shaken, batch_of):
    model, batch = shaken("mf", data, embedding_dim=3), batch_of([1, 2, 8])
    users, items, negatives, _ = drawn("bpr", model, data, batch, negatives=2)
    query, positive = squared_lengths(model, users, items)
    _, negative = squared_lengths(model, users, negatives)
    expected = 2 * query.sum() + 2 * positive.sum() + negative.sum()
    assert added_by_l2("bpr", model, data, batch, negatives=2) == pytest.approx(expected, rel=1e-5)


def test_its_gradient_is_l2_times_every_vector_of_the_sample(data, shaken, batch_of):
    model = shaken("mf", data, embedding_dim=3)
    variables, gradients = model.trainable_variables, []
    for l2 in (0.0, 0.5):
        objective = make_objective("pointwise", model, data, {"feedback": "explicit", "l2": l2})
        with tf.GradientTape() as tape:
            total, _ = objective.loss(batch_of([4]))
        found = tape.gradient(total, [variable.value for variable in variables])
        gradients.append([tf.convert_to_tensor(gradient).numpy() for gradient in found])
    for variable, plain, decayed in zip(variables, *gradients, strict=True):
        used = np.abs(plain).sum(-1) > 0
        assert used.sum() == 1
        np.testing.assert_allclose(decayed - plain, 0.5 * variable.numpy() * used[:, None], atol=1e-5)


@pytest.mark.parametrize("objective", ["pointwise", "bpr"])
@pytest.mark.parametrize("architecture", ["ncf", "autoencoder"])
def test_other_families_are_sent_to_the_l2_of_the_optimizer(data, objective, architecture):
    with pytest.raises(
        UserError, match=rf"'{architecture}' is of the family [\w ]+\. Set train\.l2, the optimizer's, instead"
    ):
        make_objective(objective, zoo.build(architecture, data.schema), data, {"l2": 0.1})


@pytest.mark.parametrize("objective", ["pointwise", "bpr"])
def test_a_negative_l2_is_refused(data, objective):
    with pytest.raises(UserError, match=r"l2 must be at least 0\. Received: -0\.1"):
        make_objective(objective, zoo.build("mf", data.schema), data, {"l2": -0.1})
