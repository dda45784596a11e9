from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.objectives import seen as seen_module
from zoo.objectives.seen import SeenItems, Sorted
from zoo.schema import FIRST_KNOWN


@pytest.mark.parametrize("most_bytes", [2**28, 0], ids=["table", "search"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_exactly_the_items_of_a_user_are_seen(seen_by, most_bytes, data):
    num_known = data.draw(st.integers(1, 20))
    seen = data.draw(st.lists(st.lists(st.integers(0, num_known - 1), max_size=9), min_size=1, max_size=20).filter(any))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_module, "MOST_BYTES", most_bytes)
        tested = SeenItems(seen_by(seen, num_known))
    users = np.arange(len(seen), dtype=np.int32) + FIRST_KNOWN
    expected = np.array([[place in places for place in range(num_known)] for places in seen])
    items = np.arange(num_known, dtype=np.int32) + FIRST_KNOWN
    np.testing.assert_array_equal(tested.shared(tf.constant(users), tf.constant(items)), expected)
    own = np.stack([np.roll(items, user) for user in users])
    rows = np.arange(len(seen))[:, None]
    pairs = tested.pairs(tf.constant(users), tf.constant(own))
    np.testing.assert_array_equal(pairs, expected[rows, own - FIRST_KNOWN])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-5, 60), max_size=40), st.lists(st.integers(-9, 70), min_size=1, max_size=8), st.data())
def test_a_search_counts_what_is_at_most_what_is_wanted(values, wanted, data):
    values, wanted = np.sort(np.array(values, np.int64)), np.array(wanted, np.int64)
    expected = np.searchsorted(values, wanted, side="right")
    np.testing.assert_array_equal(Sorted(values).count(tf.constant(wanted)), expected)
    np.testing.assert_array_equal(Sorted(values).contains(tf.constant(wanted)), np.isin(wanted, values))
    # From a place that is known to come before, no more than the longest way there has to be searched.
    start = np.array([data.draw(st.integers(0, int(count))) for count in expected], np.int32)
    longest = int((expected - start).max())
    np.testing.assert_array_equal(Sorted(values, longest).count(tf.constant(wanted), tf.constant(start)), expected)
