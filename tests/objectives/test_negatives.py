from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from zoo.objectives.negatives import UniformNegatives
from zoo.schema import FIRST_KNOWN


class Events:
    """Just what the sampler reads of training events, from the sets of places that each user met."""

    def __init__(self, met, num_known):
        import tensorflow as tf

        # Rows of padding and unknown come first and have no events.
        met = [[], [], *(list(places) for places in met)]
        self.num_items = num_known + FIRST_KNOWN
        self.users = tf.constant(np.repeat(np.arange(len(met)), [len(places) for places in met]), tf.int32)
        self.items = tf.constant([place + FIRST_KNOWN for places in met for place in places], tf.int32)
        self.first = tf.constant(np.cumsum([0, *map(len, met)]), tf.int32)


@st.composite
def interactions(draw):
    """The size of a catalogue, and for every user the places of the items met, in any order, some twice."""
    num_known = draw(st.integers(1, 12))
    met = draw(st.lists(st.lists(st.integers(0, num_known - 1), max_size=15), min_size=1, max_size=6))
    return num_known, met if any(met) else [[0], *met]


@settings(max_examples=60, deadline=None)
@given(interactions(), st.integers(0, 2**31 - 1))
def test_a_negative_is_never_an_item_that_the_user_met(made, seed):
    num_known, met = made
    users = np.repeat(np.arange(len(met)) + FIRST_KNOWN, 3).astype(np.int32)
    items, weights = UniformNegatives(Events(met, num_known), 8)(users, [seed, 1])
    items, weights = items.numpy(), weights.numpy()
    assert items.shape == weights.shape == (len(users), 8)
    for user, drawn, weight in zip(users, items, weights, strict=True):
        unmet = set(range(num_known)) - set(met[user - FIRST_KNOWN])
        if unmet:
            assert set(drawn - FIRST_KNOWN) <= unmet
            assert (weight == 1).all()
        else:
            assert (drawn == 0).all()
            assert (weight == 0).all()


def test_every_item_that_the_user_has_not_met_is_as_likely():
    met, num_known, number = [[0, 3, 4], [9], []], 10, 30_000
    users = np.arange(len(met), dtype=np.int32) + FIRST_KNOWN
    items, _ = UniformNegatives(Events([*met, [1]], num_known), number)(users, [3, 4])
    for places, drawn in zip(met, items.numpy() - FIRST_KNOWN, strict=True):
        counts = np.bincount(drawn, minlength=num_known)
        assert counts[places].sum() == 0
        assert chisquare(np.delete(counts, places)).pvalue > 1e-3


def test_the_seed_decides_what_is_drawn():
    negatives = UniformNegatives(Events([[0, 1], [2]], 50), 20)
    users = np.array([2, 3, 3], np.int32)
    first = negatives(users, [1, 2])[0].numpy()
    np.testing.assert_array_equal(negatives(users, [1, 2])[0], first)
    assert (negatives(users, [1, 3])[0].numpy() != first).any()
    assert (first[1] != first[2]).any(), "rows of the same user have draws of their own"
