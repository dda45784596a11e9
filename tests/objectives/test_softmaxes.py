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
    return sequences_of([4, 3, 5, 1], 5, num_items=9)


def log_sum_exp(values):
    return np.log(np.exp(np.asarray(values, np.float64)).sum(axis=-1))


def scores_of(model, data):
    """Scores of every training row's user for the whole catalogue, and the place of its item."""
    rows = data.part("train")
    everything = np.tile(np.arange(FIRST_KNOWN, data.num_items), (len(rows), 1))
    return model.score({"user": rows["user"].to_numpy()}, everything), rows["item"].to_numpy() - FIRST_KNOWN


def gradients_of(objective, batch):
    with tf.GradientTape() as tape:
        total, _ = objective.loss(batch)
    found = tape.gradient(total, [weight.value for weight in objective.model.trainable_variables])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found if gradient is not None]


# Full


def test_full_softmax_is_the_cross_entropy_among_all_items(data, shaken, loss_of):
    model = shaken("mf", data, embedding_dim=3)
    scores, items = scores_of(model, data)
    expected = (log_sum_exp(scores) - scores[np.arange(len(items)), items]).mean()
    assert loss_of(make_objective("full_softmax", model, data, {})) == pytest.approx(expected, rel=1e-5)


def test_full_softmax_of_a_catalogue_leaves_padding_and_unknown_out(data, shaken, batch_of, loss_of):
    model = shaken("autoencoder", data, hidden=4, dropout=0.0)
    objective = make_objective("full_softmax", model, data, {})
    events = objective._at(batch_of(np.arange(13)).examples)
    logits = np.asarray(model.encode_query(events.query), np.float64)[:, FIRST_KNOWN:]
    items = events.items.numpy() - FIRST_KNOWN
    expected = (log_sum_exp(logits) - logits[np.arange(13), items]).mean()
    assert loss_of(objective) == pytest.approx(expected, rel=1e-5)


# Sampled


@pytest.mark.parametrize("name", ["mf", "gmf"])
def test_a_sample_of_the_whole_catalogue_gives_the_full_softmax_and_its_gradients(
    data, shaken, batch_of, loss_of, name
):
    model = shaken(name, data)
    sampled = make_objective("sampled_softmax", model, data, {"negatives": 9})
    scores, items = scores_of(model, data)
    expected = (log_sum_exp(scores) - scores[np.arange(len(items)), items]).mean()
    assert loss_of(sampled) == pytest.approx(expected, rel=1e-5)
    if name == "mf":
        full = make_objective("full_softmax", model, data, {})
        batch = batch_of(np.arange(13))
        for ours, theirs in zip(gradients_of(sampled, batch), gradients_of(full, batch), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("sampler", "options"), [("uniform", {}), ("popularity", {"alpha": 1.0})])
def test_the_sum_over_the_sample_is_expected_to_be_that_over_the_catalogue(
    data, shaken, losses_of_steps, sampler, options
):
    model = shaken("mf", data, embedding_dim=3)
    scores, items = scores_of(model, data)
    objective = make_objective("sampled_softmax", model, data, {"negatives": 4, "sampler": sampler, **options})
    # Only the first row: its sum is its positive's chance turned around.
    first = int(np.argsort(data.part("train")["user"].to_numpy(), kind="stable")[0])
    sums = np.exp(losses_of_steps(objective, [0], 600) + scores[first, items[first]])
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - np.exp(scores[first]).sum()) < 4 * error


def test_a_positive_that_is_drawn_as_well_does_not_count_twice(sequences_of, shaken, loss_of):
    data = sequences_of([2], 5, num_items=1)
    objective = make_objective("sampled_softmax", shaken("mf", data, embedding_dim=3), data, {"negatives": 1})
    assert loss_of(objective) == 0.0


# In-batch


def by_hand(model, data, temperature=1.0, log_shares=None, left_out=None):
    """The loss of the whole training part as one batch, pair by pair, in the order of the objective."""
    rows = data.part("train").sort_values("user", kind="stable")
    users, items = rows["user"].to_numpy(), rows["item"].to_numpy()
    losses = []
    for own, (user, item) in enumerate(zip(users, items, strict=True)):
        others = [
            place
            for place, (other_user, other_item) in enumerate(zip(users, items, strict=True))
            if place == own
            or not (other_user == user or other_item == item or (left_out and left_out(user, other_item)))
        ]
        logits = model.score({"user": np.full(len(others), user)}, items[others]) / temperature
        if log_shares is not None:
            logits = logits - log_shares[items[others]]
        losses.append(log_sum_exp(logits) - logits[others.index(own)])
    return np.mean(losses)


def shares(data):
    counts = np.bincount(data.part("train")["item"], minlength=data.num_items)
    return np.log(np.maximum(counts, 1) / counts.sum())


def test_a_positive_stands_against_the_positives_of_other_users_minus_their_log_share(data, shaken, loss_of):
    model = shaken("mf", data, embedding_dim=3)
    objective = make_objective("in_batch_softmax", model, data, {"temperature": 0.5})
    assert loss_of(objective) == pytest.approx(by_hand(model, data, 0.5, shares(data)), rel=1e-5)


def test_items_that_are_equally_frequent_are_not_handicapped(sequences_of, shaken, loss_of):
    data = sequences_of([3, 3], 5, num_items=6)
    data.interactions["item"] = np.int32([2, 3, 4, 5, 6, 7])
    model = shaken("mf", data, embedding_dim=3)
    assert loss_of(make_objective("in_batch_softmax", model, data, {})) == pytest.approx(by_hand(model, data), rel=1e-5)


def test_items_that_the_user_has_seen_can_be_left_out(data, shaken, loss_of):
    model = shaken("mf", data, embedding_dim=3)
    objective = make_objective("in_batch_softmax", model, data, {"avoid_seen": True})
    sequences = data.sequences("train")
    expected = by_hand(model, data, 1.0, shares(data), lambda user, item: item in sequences.of(user))
    assert loss_of(objective) == pytest.approx(expected, rel=1e-5)
    # In a batch that holds only some of what a user has seen, this is more than leaving out the user's own rows.
    part = [0, 4, 8, 12]
    assert loss_of(objective, part) <= loss_of(make_objective("in_batch_softmax", model, data, {}), part)


def test_the_positives_of_one_user_say_nothing_against_each_other(sequences_of, shaken, loss_of):
    data = sequences_of([5], 5)
    assert loss_of(make_objective("in_batch_softmax", shaken("mf", data), data, {})) == 0.0


# Mistakes


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_is_above_0(data, temperature):
    with pytest.raises(UserError, match="temperature must be above 0"):
        make_objective("in_batch_softmax", zoo.build("mf", data.schema), data, {"temperature": temperature})


@pytest.mark.parametrize(
    ("objective", "architecture", "message"),
    [
        ("full_softmax", "ncf", "trains the family towers or item logits; 'ncf' is of the family pairs"),
        (
            "sampled_softmax",
            "autoencoder",
            "trains the family towers or pairs; 'autoencoder' is of the family item logits",
        ),
        (
            "in_batch_softmax",
            "autoencoder",
            "trains the family towers or pairs; 'autoencoder' is of the family item logits",
        ),
    ],
)
def test_an_objective_for_another_family_is_refused(data, objective, architecture, message):
    with pytest.raises(UserError, match=message):
        make_objective(objective, zoo.build(architecture, data.schema), data, {})
