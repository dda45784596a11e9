from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.schema import Schema

HISTORY = np.array([[6, 2, 4, 3], [0, 0, 2, 5]], np.int32)
# One above the last row of the item table.
MASK = 8


@pytest.fixture
def model():
    made = zoo.build("bert4rec", Schema.of_ids(3, 6, history_length=4), embedding_dim=4, num_blocks=1)
    rng = np.random.default_rng(0)
    for weight in made.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return made


def test_a_query_fills_in_what_is_hidden_behind_the_last_event(model):
    hidden = np.concatenate([HISTORY[:, 1:], [[MASK], [MASK]]], axis=1)
    expected = model.encode_masked_positions({"history": hidden}).numpy()[:, -1]
    np.testing.assert_allclose(model.encode_query({"history": HISTORY}), expected, rtol=1e-5, atol=1e-6)


def test_the_oldest_of_a_full_history_makes_room_for_the_mask(model):
    changed = HISTORY.copy()
    changed[0, 0] = 7
    np.testing.assert_array_equal(model.encode_query({"history": HISTORY}), model.encode_query({"history": changed}))


def test_a_hidden_item_is_told_from_both_sides(model):
    hidden = np.array([[6, MASK, 4, 3]])
    before = model.encode_masked_positions({"history": hidden}).numpy()[0, 1]
    for place in (0, 2, 3):
        changed = hidden.copy()
        changed[0, place] = 7
        # What is not seen has a weight of exactly 0.
        assert (before != model.encode_masked_positions({"history": changed}).numpy()[0, 1]).any()


def test_the_mask_is_no_item(model):
    items, _ = model.recommend({"history": HISTORY}, k=6)
    assert sorted(items[0]) == list(range(2, 8))
    assert len(model.encode_catalogue()[0]) == MASK
