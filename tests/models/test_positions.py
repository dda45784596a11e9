"""What holds for every architecture with positions: what they know, and that they are what a query becomes."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import zoo
from zoo.layers import PositionEmbedding
from zoo.schema import Feature, Schema, history_features

LENGTH, NUM_ROWS = 6, 9
HISTORY = np.array([[2, 4, 3, 8, 5, 6], [0, 0, 0, 7, 2, 3]])
AGES = np.array([[9.0, 3.0, 2.5, 1.5, 0.5, 0.1], [0, 0, 0, 6.0, 6.0, 2.0]])
CAUSAL = ["esasrec", "gru4rec", "hstu", "lrurec", "lstm", "sasrec"]
ALL = [*CAUSAL, "bert4rec"]


def make(name):
    """An architecture with weights far from zero."""
    features = [Feature("user", "user", "id", 5), Feature("item", "item", "id", NUM_ROWS)]
    model = zoo.build(
        name, Schema([*features, *history_features(NUM_ROWS, LENGTH, 1.0, is_ordered=True)]), **zoo.info(name).tiny
    )
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def models():
    """An architecture by its name, made once."""
    return functools.cache(make)


def query(items, ages):
    return {"history": np.asarray(items, np.int32), "history_age": np.asarray(ages, np.float32)}


def in_front(values):
    """Values at the end of a row as long as a history."""
    return np.pad(np.asarray(values)[None], [(0, 0), (LENGTH - len(values), 0)])


@pytest.mark.parametrize("name", CAUSAL)
def test_a_position_is_what_the_query_of_that_moment_becomes(name):
    model = make(name)
    for layer in model.layers:
        # Places are counted from the end, so that a position knows by them how many events are to come.
        if isinstance(layer, PositionEmbedding):
            layer.embeddings.assign(np.zeros(layer.embeddings.shape))
    positions = model.encode_positions(query(HISTORY, AGES)).numpy()
    for row, (items, ages) in enumerate(zip(HISTORY, AGES, strict=True)):
        first = int((items == 0).sum())
        for place in range(first, LENGTH):
            # The moment of a position is that of the event after it.
            moment = ages[place + 1] if place + 1 < LENGTH else 0.0
            asked = query(in_front(items[first : place + 1]), in_front(ages[first : place + 1] - moment))
            found = model.encode_query(asked).numpy()[0]
            np.testing.assert_allclose(positions[row, place], found, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_last_position_is_the_query(name, models):
    asked = query(HISTORY, AGES)
    last = models(name).encode_positions(asked).numpy()[:, -1]
    np.testing.assert_allclose(last, models(name).encode_query(asked), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("later", range(1, LENGTH))
def test_a_later_event_changes_no_earlier_position(name, later, models):
    model, changed = models(name), HISTORY.copy()
    changed[0, later] = 7
    before, after = (model.encode_positions(query(items, AGES)).numpy()[0] for items in (HISTORY, changed))
    np.testing.assert_array_equal(before[:later], after[:later])
    assert not np.allclose(before[later], after[later], atol=1e-4)
    assert not np.allclose(before[-1], after[-1], atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_padding_that_is_left_out_does_not_matter(name, models):
    model = models(name)
    encode = model.encode_positions if name in CAUSAL else model.encode_masked_positions
    whole, short = encode(query(HISTORY, AGES)).numpy()[1, 3:], encode(query(HISTORY[1:, 3:], AGES[1:, 3:])).numpy()[0]
    np.testing.assert_allclose(whole, short, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("items", [[0] * LENGTH, [0] * (LENGTH - 1) + [4], [1] * LENGTH])
def test_a_history_of_nothing_of_one_event_or_of_unknown_items_has_finite_scores(name, items, models):
    scores = models(name).score(query([items], np.zeros((1, LENGTH))), [[2, 3, 8]])
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_a_history_counts(name, models):
    there, back = (models(name).encode_query(query(items, AGES)).numpy()[0] for items in (HISTORY, HISTORY[:, ::-1]))
    assert not np.allclose(there, back, atol=1e-3)
