"""The losses at positions other than the full softmax, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.schema import FIRST_KNOWN


@pytest.fixture
def data(sequences_of):
    return sequences_of([6, 1, 3, 2], 4, num_items=7)


@pytest.fixture
def model(data, shaken):
    return shaken("lstm", data, **{**zoo.info("lstm").tiny, "dropout": 0.0})


@pytest.fixture
def whole_batch(batch_of):
    return lambda objective: batch_of(np.arange(objective.num_examples))


def predicted(objective, batch):
    """The positions of a batch, and what each scores for every item of the catalogue."""
    positions = objective._positions(batch)
    items = objective.model.encode_items(tf.range(FIRST_KNOWN, objective._events.num_items))
    return positions, np.asarray(positions.vectors, np.float64) @ np.asarray(items).T, positions.targets.numpy() - 2


def cross_entropy(logits, label):
    chance = 1 / (1 + np.exp(-logits))
    return -np.log(chance if label else 1 - chance)


def gradients_of(objective, batch):
    with tf.GradientTape() as tape:
        total, _ = objective.loss(batch)
    found = tape.gradient(total, [weight.value for weight in objective.model.trainable_variables])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found]


# Sampled softmax


def test_a_sample_of_all_items_gives_the_full_softmax_and_its_gradients(data, model, loss_of, whole_batch):
    full = make_objective("next_item", model, data, {})
    sampled = make_objective("next_item_sampled", model, data, {"negatives": 7})
    assert loss_of(sampled) == pytest.approx(loss_of(full), rel=1e-5)
    for ours, theirs in zip(
        gradients_of(sampled, whole_batch(sampled)), gradients_of(full, whole_batch(full)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("sampler", ["uniform", "popularity"])
def test_the_item_that_follows_stands_against_the_sample(correct, sampler, data, model, loss_of, whole_batch):
    options = {"negatives": 3, "sampler": sampler, "alpha": 1.0, "correct": correct}
    if sampler == "uniform":
        options.pop("alpha")
    objective = make_objective("next_item_sampled", model, data, options)
    batch = whole_batch(objective)
    drawn, _ = objective._sampler(objective._window_events(batch), batch)
    drawn = drawn.numpy() - FIRST_KNOWN
    counts = np.bincount(data.part("train")["item"] - FIRST_KNOWN, minlength=7)
    shares = np.full(7, 1 / 7) if sampler == "uniform" else np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    _, scores, targets = predicted(objective, batch)
    losses = []
    for row, target in zip(scores, targets, strict=True):
        expected = 3 * shares[drawn] if correct else 1.0
        others = np.exp(row[drawn]) / expected * (drawn != target)
        losses.append(-np.log(np.exp(row[target]) / (np.exp(row[target]) + others.sum())))
    assert len(losses) == 8
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_sample_costs_no_logits_of_other_items(sequences_of, shaken, batch_of):
    data = sequences_of([5, 4], 4, num_items=5000)
    model = shaken("lstm", data, **zoo.info("lstm").tiny)
    objective = make_objective("next_item_sampled", model, data, {"negatives": 16})
    graph = tf.function(lambda: objective.loss(batch_of(np.arange(2)))).get_concrete_function()
    products = [op.outputs[0].shape for op in graph.graph.get_operations() if op.type == "MatMul"]
    assert [None, 16] in [shape.as_list() for shape in products]
    assert not any(5000 in (shape.as_list() if shape.rank else []) for shape in products)


# Cross-entropy


@pytest.mark.parametrize("negatives", [1, 3])
def test_cross_entropy_is_that_of_the_item_that_follows_and_of_unseen_ones(
    negatives, data, model, loss_of, whole_batch
):
    objective = make_objective("next_item_bce", model, data, {"negatives": negatives})
    batch = whole_batch(objective)
    positions, scores, targets = predicted(objective, batch)
    drawn, _ = objective._sampler(objective._window_events(batch), batch)
    drawn = drawn.numpy().reshape(-1, 4, negatives)
    users = objective._users.numpy()
    losses = []
    for row, target, window, place in zip(
        scores, targets, positions.windows.numpy(), positions.places.numpy(), strict=True
    ):
        own = drawn[window, place]
        assert not set(own) & set(data.sequences("train").of(users[window]))
        losses += [cross_entropy(row[target], 1), *(cross_entropy(row[item - FIRST_KNOWN], 0) for item in own)]
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-4)


def test_negatives_of_positions_and_of_steps_differ(sequences_of, model, batch_of):
    data = sequences_of([5, 5, 5], 4, num_items=900)
    objective = make_objective("next_item_bce", model, data, {"negatives": 2})
    draws = [
        objective._sampler(objective._window_events(batch), batch)[0].numpy()
        for batch in (batch_of(np.arange(3), seed) for seed in ((5, 7), (5, 8)))
    ]
    assert len(np.unique(draws)) > 40


@pytest.mark.parametrize("t", [0.0, 0.75, 1.0])
def test_generalised_cross_entropy_weighs_what_follows_by_the_papers_formula(t, data, model, loss_of, whole_batch):
    objective = make_objective("next_item_gbce", model, data, {"negatives": 2, "t": t, "shared": 0})
    batch = whole_batch(objective)
    positions, scores, targets = predicted(objective, batch)
    drawn = objective._sampler(objective._window_events(batch), batch)[0].numpy().reshape(-1, 4, 2)
    # Two of the six items that are not the one that follows.
    rate = 2 / 6
    beta = rate * (t * (1 - 1 / rate) + 1 / rate)
    losses = []
    for row, target, window, place in zip(
        scores, targets, positions.windows.numpy(), positions.places.numpy(), strict=True
    ):
        below = [cross_entropy(row[item - FIRST_KNOWN], 0) for item in drawn[window, place]]
        losses.append((beta * cross_entropy(row[target], 1) + sum(below)) / 3)
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-4)


def test_shared_negatives_weigh_as_much_as_own_ones_except_those_that_the_user_has_seen(
    data, model, loss_of, whole_batch
):
    objective = make_objective("next_item_bce", model, data, {"negatives": 2, "shared": 4})
    batch = whole_batch(objective)
    positions, scores, targets = predicted(objective, batch)
    drawn = objective._sampler(objective._window_events(batch), batch)[0].numpy()
    assert drawn.shape == (4,)
    total = weight = 0.0
    for row, target, window in zip(scores, targets, positions.windows.numpy(), strict=True):
        seen = set(data.sequences("train").of(objective._users.numpy()[window]))
        # What is not seen weighs more, so that the negatives of a user weigh as much as expected.
        each = 2 / 4 / (1 - len(seen) / 7)
        below = [each * cross_entropy(row[item - FIRST_KNOWN], 0) for item in drawn if item not in seen]
        total += cross_entropy(row[target], 1) + sum(below)
        weight += 1 + each * len(below)
    assert loss_of(objective) == pytest.approx(total / weight, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("next_item_bce", {"negatives": 0}, r"negatives must be at least 1\. Received: 0"),
        ("next_item_sampled", {"negatives": 0}, r"must be at least 1\. Received: 0"),
        ("next_item_gbce", {"negatives": 3, "shared": 3, "t": 1.5}, r"t must be between 0 and 1\. Received: 1\.5"),
        ("next_item_sampled", {"negatives": 8}, r"Only the 7 items of the catalogue can be drawn"),
        ("next_item_bce", {"shared": 8}, r"Only the 7 items of the catalogue can be drawn"),
        ("next_item_gbce", {"negatives": 7, "shared": 7}, r"negatives must be at most 6, the items of the catalogue"),
        ("masked_items", {"share": 1.5}, r"share must be between 0 and 1\. Received: 1\.5"),
        ("masked_items", {"only_last": -0.1}, r"only_last must be between 0 and 1\. Received: -0\.1"),
        ("masked_items", {}, "'masked_items' needs an architecture with masked positions; 'lstm' has none"),
    ],
)
def test_options_out_of_range_and_other_architectures_are_refused(name, options, message, data, model):
    with pytest.raises(UserError, match=message):
        make_objective(name, model, data, options)
