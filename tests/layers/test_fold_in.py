from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import memory
from zoo.errors import UserError
from zoo.layers import Embedding, LeastSquaresFoldIn, item_to_item, liked_events, liked_items
from zoo.schema import Schema

HISTORY = np.array([[0, 0, 3, 3, 4], [1, 2, 5, 6, 1], [0, 0, 0, 0, 0]], np.int32)
RATING = np.array([[0, 0, 1, 0.2, -1], [1, 1, 0, 0.6, 0.4], [0, 0, 0, 0, 0]], np.float32)


def read(of):
    """What a layer makes of the two inputs of the histories above."""
    schema = Schema.of_ids(num_users=3, num_items=5, history_length=5)
    model = keras.Model([schema.input("history"), schema.input("history_rating")], of(schema))
    return model([HISTORY, RATING]).numpy().tolist()


def test_events_with_a_rating_above_0_of_known_items_are_liked():
    assert read(liked_events) == [[0, 0, 1, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]


def test_an_item_is_liked_once_however_often_it_was_seen():
    assert read(liked_items) == [[0, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]]


def test_a_weight_for_every_two_items_is_refused_where_it_does_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * 10**9)
    with pytest.raises(UserError, match=r"every two of 100,000 items needs 40\.0 GB .* 8\.0 GB .* e\.g\. ials"):
        item_to_item(100_000)


# LeastSquaresFoldIn


def fold_in_of(vectors, unobserved_weight, regularization=0.01):
    """The layer with the given item vectors, and the vectors as it keeps them, in float64."""
    num_items, dim = vectors.shape
    item_vectors = Embedding(num_items, dim, trainable=False)
    item_vectors.build(None)
    layer = LeastSquaresFoldIn(item_vectors, unobserved_weight, lambda n: regularization * (n + num_items))
    layer.set(vectors)
    return layer, item_vectors.get_weights()[0].astype(np.float64)


def exact(vectors, liked, unobserved_weight, regularization=0.01):
    """The normal equations of one user, solved in float64."""
    mine = vectors[liked]
    ridge = regularization * (len(liked) + len(vectors))
    system = mine.T @ mine + unobserved_weight * vectors.T @ vectors + ridge * np.eye(vectors.shape[1])
    return np.linalg.solve(system, mine.sum(axis=0))


def histories(num_items, length, seed):
    """Histories of 0, 1, ... up to `length` different items, padded in front."""
    rng = np.random.default_rng(seed)
    items = np.zeros((6, length), np.int32)
    for row, number in enumerate(np.linspace(0, length, 6).astype(int)):
        items[row, length - number :] = rng.permutation(np.arange(2, num_items))[:number]
    return items


def largest_error(vectors, weight, items):
    """The largest error of the layer's vectors for `[batch, length]` histories, as a share of the exact vector."""
    layer, kept = fold_in_of(vectors, weight)
    users = layer(items, (items > 0).astype(np.float32)).numpy()
    errors = []
    for user, row in zip(users, items, strict=True):
        expected = exact(kept, row[row > 0], weight)
        errors.append(np.linalg.norm(user - expected) / max(np.linalg.norm(expected), 1e-9))
    return max(errors)


def item_table(num_items, dim, seed=0):
    """Item vectors as training leaves them: some directions matter far more than others, padding is zeros."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(num_items, dim)) * np.geomspace(1, 0.01, dim) @ rng.normal(size=(dim, dim))
    vectors[:2] = 0
    return (vectors / dim).astype(np.float32)


# Long histories are read as rows over the catalogue, short ones item by item.
@pytest.mark.parametrize("length", [8, 90])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), weight=st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0]), dim=st.integers(1, 16))
def test_a_fold_in_is_the_least_squares_solution(length, seed, weight, dim):
    items = histories(100, length, seed)
    assert largest_error(item_table(100, dim, seed), weight, items) < 1e-4


@pytest.mark.parametrize("length", [50, 900])
def test_wide_vectors_fold_in_as_exactly(length):
    items = histories(1000, length, 0)
    assert largest_error(item_table(1000, 192), 0.3, items) < 1e-4


def test_the_steps_follow_from_the_weight_of_what_was_not_seen():
    vectors = item_table(100, 64)
    # 2 ((sqrt(c) - 1) / (sqrt(c) + 1))^steps <= 1e-5 for the condition number c of 2, 4.33 and 21.
    assert [fold_in_of(vectors, weight)[0].steps for weight in (1.0, 0.3, 0.05)] == [7, 12, 28]


def test_narrow_vectors_need_no_more_steps_than_twice_their_width():
    assert fold_in_of(item_table(100, 4), 0.001)[0].steps == 8


@pytest.mark.parametrize("length", [5, 60])
def test_an_item_seen_twice_counts_once_and_what_was_not_liked_does_not(length):
    layer, _ = fold_in_of(item_table(100, 4), 0.3)
    once, twice = np.zeros((1, length), np.int32), np.zeros((1, length), np.int32)
    once[0, -2:], twice[0, -4:] = [7, 9], [9, 7, 9, 30]
    liked = (twice > 0) & (twice != 30)
    users = layer(once, (once > 0).astype(np.float32)), layer(twice, liked.astype(np.float32))
    np.testing.assert_allclose(*users, atol=1e-6)


def test_nobody_who_liked_nothing_has_a_taste():
    layer, _ = fold_in_of(item_table(100, 4), 0.3)
    assert not np.any(layer(np.zeros((2, 5), np.int32), np.zeros((2, 5), np.float32)))


def test_a_large_catalogue_is_added_up_exactly():
    # A sum of as many equal numbers loses the fourth digit if it is taken one by one in float32.
    vectors = np.full((200_000, 1), 0.1, np.float32)
    layer, _ = fold_in_of(vectors, 0.3)
    np.testing.assert_allclose(layer.gram.numpy(), 200_000 * np.float64(np.float32(0.1)) ** 2, rtol=1e-7)


def test_steps_that_are_known_to_be_enough_take_the_place_of_the_bound():
    layer, _ = fold_in_of(item_table(100, 64), 0.05)
    layer.weigh(0.05, layer.ridge, steps=9)
    assert layer.steps == 9
    layer.weigh(0.3, layer.ridge, steps=90)
    assert layer.steps == 12


def test_padding_that_all_histories_share_changes_nothing():
    layer, _ = fold_in_of(item_table(1000, 6), 0.3)
    short = histories(1000, 20, 0)
    long = np.pad(short, [(0, 0), (70, 0)])
    np.testing.assert_allclose(
        layer(long, (long > 0).astype(np.float32)), layer(short, (short > 0).astype(np.float32)), rtol=1e-6
    )


def test_turning_the_item_vectors_changes_no_dot_product():
    vectors = item_table(50, 6)
    _, kept = fold_in_of(vectors, 0.3)
    np.testing.assert_allclose(kept @ kept.T, vectors @ vectors.T, atol=1e-6)
