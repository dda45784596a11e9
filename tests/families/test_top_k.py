"""The best items of a catalogue, against sorting all of it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zoo.families.top_k import NO_ITEM_SCORE, best_of_catalogue, best_of_pool, group_size, overwrite_excluded

# Few values, so that ties are common, and those of excluded and of impossible items among them.
SCORES = st.sampled_from([NO_ITEM_SCORE, -np.inf, -1.5, 0.0, 0.25, 2.0, 3.0])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_best_of_a_catalogue_are_those_of_a_whole_sort_and_of_ties_the_first(data):
    num_items = data.draw(st.integers(1, 90))
    n = data.draw(st.integers(1, num_items))
    group = data.draw(st.integers(1, num_items))
    scores = data.draw(arrays.arrays(np.float32, (3, num_items), elements=SCORES))
    best, items = best_of_catalogue(tf.constant(scores), n, num_items, group)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(scores, expected, axis=1))


@pytest.mark.parametrize(("num_items", "n"), [(3708, 10), (3708, 500), (1009, 1009)])
def test_the_best_of_a_large_catalogue_are_those_of_top_k(num_items, n):
    scores = np.random.default_rng(1).normal(size=(20, num_items)).astype(np.float32)
    scores[::2] = np.round(scores[::2], 1)
    got = best_of_catalogue(tf.constant(scores), n, num_items, group_size(n, num_items))
    for given_values, expected in zip(got, tf.math.top_k(scores, n), strict=True):
        np.testing.assert_array_equal(given_values, expected)


@pytest.mark.parametrize(("n", "num_items"), [(10, 100_002), (110, 1_000_002), (100, 20), (1, 1), (7, 9067)])
def test_groups_are_near_the_root_and_even_where_they_can_be(n, num_items):
    size, best = group_size(n, num_items), max(int((num_items // n) ** 0.5), 1)
    assert best / 3 <= size <= 3 * best
    even = [number for number in range(2, 3 * best + 1) if 3 * number >= best and num_items % number == 0]
    assert num_items % size == 0 or not even


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_best_of_a_pool_are_each_there_once_and_none_is_excluded(data):
    width, excluded = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 6))
    # An item of the pool has one score, however often it is there.
    score_of = data.draw(arrays.arrays(np.float32, 15, elements=st.sampled_from([-1.5, 0.0, 0.25, 2.0])))
    items = data.draw(arrays.arrays(np.int32, (2, width), elements=st.integers(0, 14)))
    exclude = data.draw(arrays.arrays(np.int32, (2, excluded), elements=st.integers(0, 14)))
    k = data.draw(st.integers(1, width))
    best, scores = best_of_pool(tf.constant(items), tf.constant(score_of[items]), tf.constant(exclude), k)
    for row in range(2):
        left = sorted({*items[row].tolist()} - {0, 1, *exclude[row].tolist()})
        expected = sorted(left, key=lambda item: -score_of[item])[:k]
        assert best[row].numpy().tolist() == [*expected, *[0] * (k - len(expected))]
        wanted = [*(float(score_of[item]) for item in expected), *[NO_ITEM_SCORE] * (k - len(expected))]
        assert scores[row].numpy().tolist() == wanted


def test_excluded_items_padding_and_the_unknown_item_lose_their_scores():
    scores = overwrite_excluded(tf.ones((2, 5)), tf.constant([[2, 2], [0, 4]]))
    lost = scores.numpy() == np.float32(NO_ITEM_SCORE)
    assert lost.tolist() == [[True, True, True, False, False], [True, True, False, False, True]]
    assert (scores.numpy()[~lost] == 1).all()
