"""What objectives over windows share: windows of like size are encoded together, and it changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo import memory
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.objectives.windows import LEAST_SAVING, MOST_GROUPS, group_lengths

OBJECTIVES = {
    "next_item": ("lstm", {}),
    "next_item_sampled": ("lrurec", {"negatives": 6}),
    "next_item_bce": ("gru4rec", {"negatives": 2}),
    "next_item_gbce": ("hstu", {"negatives": 4, "shared": 5}),
    "masked_items": ("bert4rec", {"share": 0.4}),
}


def places(counts, lengths):
    """How many places windows take that are padded to the first length that they fit into."""
    padded = [next(length for length in lengths if size <= length) for size in range(1, max(lengths) + 1)]
    return sum(count * length for count, length in zip(counts[1:], padded, strict=False))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=8).filter(lambda counts: any(counts[1:])))
def test_the_lengths_of_groups_take_the_fewest_places(counts):
    found = group_lengths(np.array(counts))
    largest = max(size for size, count in enumerate(counts) if count)
    assert found[-1] == largest
    assert len(found) <= MOST_GROUPS

    def fewest(number):
        return min(places(counts, [*cuts, largest]) for cuts in itertools.combinations(range(1, largest), number - 1))

    assert places(counts, found) == fewest(len(found))
    if len(found) < min(MOST_GROUPS, largest):
        assert fewest(len(found) + 1) > (1 - LEAST_SAVING) * fewest(len(found))


def test_windows_of_one_size_are_one_group():
    assert group_lengths(np.array([0, 0, 0, 5])) == [3]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_groups_change_neither_a_loss_nor_its_gradients(name, sequences_of, shaken, batch_of):
    data = sequences_of([13, 2, 3, 9, 2, 1, 4], 6)
    architecture, options = OBJECTIVES[name]
    hparams = {"embedding_dim": 4, "dropout": 0.0}
    objective = make_objective(name, shaken(architecture, data, **hparams), data, options)
    assert len(objective._groups) > 1
    batch, found = batch_of(np.arange(objective.num_examples)), []
    for groups in (objective._groups, [6]):
        objective._groups = groups
        with tf.GradientTape() as tape:
            total, weight = objective.loss(batch)
        gradients = tape.gradient(total, [weight.value for weight in objective.model.trainable_variables])
        found.append([total, weight, *(tf.convert_to_tensor(one) for one in gradients)])
    for grouped, whole in zip(*found, strict=True):
        np.testing.assert_allclose(grouped, whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_of_windows_that_are_all_short_has_a_loss_and_gradients(name, sequences_of, shaken, batch_of):
    data = sequences_of([13, 2, 2, 2, 1], 6)
    architecture, options = OBJECTIVES[name]
    objective = make_objective(name, shaken(architecture, data, embedding_dim=4), data, options)
    short = [place for place, user in enumerate(objective._users.numpy()) if user > 2]
    with tf.GradientTape() as tape:
        total, weight = objective.loss(batch_of(short))
    gradients = tape.gradient(total, [weight.value for weight in objective.model.trainable_variables])
    assert float(weight) > 0
    assert np.isfinite(float(total))
    assert all(np.isfinite(tf.convert_to_tensor(one)).all() for one in gradients)


@pytest.mark.parametrize(
    ("name", "architecture", "positions", "instead"),
    [("next_item", "lstm", 6, "next_item_sampled"), ("masked_items", "bert4rec", 3, "next_item_sampled")],
)
def test_logits_that_do_not_fit_are_refused_before_they_are_made(
    name, architecture, positions, instead, sequences_of, shaken, monkeypatch
):
    # Windows of 4, 1 and 4 positions for the next item; of 4, 2, 4 and 1 events for masked ones.
    data = sequences_of([6, 5], 4, num_items=7)
    model = shaken(architecture, data, **zoo.info(architecture).tiny)
    objective = make_objective(name, model, data, {"share": 0.5} if name == "masked_items" else {})
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    with pytest.raises(UserError, match=rf"A step over {positions} positions and 9 items needs .*{instead}"):
        objective.check_batch(2)
