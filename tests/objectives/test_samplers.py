from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import zoo
from zoo.data.examples import Events
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.objectives.samplers import (
    MASSES,
    Hard,
    InBatch,
    Shared,
    Unseen,
    make_sampler,
    popularity_masses,
    uniform_masses,
)
from zoo.schema import FIRST_KNOWN


@st.composite
def interactions(draw):
    """The size of a catalogue, and for every user the places of the items seen, in any order, some twice."""
    num_known = draw(st.integers(1, 12))
    seen = draw(st.lists(st.lists(st.integers(0, num_known - 1), max_size=15), min_size=1, max_size=6))
    return num_known, seen if any(seen) else [[0], *seen]


POWERS = st.sampled_from([("uniform",), ("popularity", 0.0), ("popularity", 0.75), ("popularity", 3.0)])


# Own negatives


@settings(max_examples=80, deadline=None)
@given(interactions(), POWERS, st.integers(0, 2**31 - 1))
def test_a_negative_is_never_an_item_that_the_user_has_seen(seen_by, draw, made, by, seed):
    num_known, seen = made
    events = seen_by(seen, num_known)
    users = np.repeat(np.arange(len(seen)) + FIRST_KNOWN, 3)
    items, weights = draw(Unseen(events, MASSES[by[0]](events, *by[1:]), 8), users, (seed, 1))
    assert items.shape == weights.shape == (len(users), 8)
    for user, drawn, weight in zip(users, items, weights, strict=True):
        unseen = set(range(num_known)) - set(seen[user - FIRST_KNOWN])
        if unseen:
            assert set(drawn) <= unseen
            assert (weight == 1).all()
        else:
            assert (weight == 0).all()


@pytest.mark.parametrize("alpha", [None, 0.5, 1.0])
def test_every_item_that_the_user_has_not_seen_is_as_likely_as_it_should_be(seen_by, draw, alpha):
    seen, num_known, number = [[0, 3, 4], [9], []], 10, 30_000
    counts = [8, 1, 0, 5, 2, 2, 40, 1, 3, 100]
    events = seen_by([*seen, [1]], num_known, counts)
    masses = uniform_masses(events) if alpha is None else popularity_masses(events, alpha)
    # The item that is never a positive counts as if it were one once.
    likely = np.ones(num_known) if alpha is None else np.maximum(counts, 1) ** alpha
    items, _ = draw(Unseen(events, masses, number), np.arange(len(seen)) + FIRST_KNOWN, (3, 4))
    for places, drawn in zip(seen, items, strict=True):
        found, expected = np.bincount(drawn, minlength=num_known), np.delete(likely, places)
        assert found[places].sum() == 0
        assert chisquare(np.delete(found, places), number * expected / expected.sum()).pvalue > 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.data())
def test_the_one_item_a_user_has_not_seen_is_always_found(seen_by, draw, num_known, data):
    left = data.draw(st.integers(0, num_known - 1))
    others = [place for place in range(num_known) if place != left]
    events = seen_by([others, [0]], num_known)
    for by in ("uniform", "popularity"):
        items, weights = draw(Unseen(events, MASSES[by](events), 5), [FIRST_KNOWN])
        assert (items == left).all()
        assert (weights == 1).all()


@pytest.mark.parametrize("alpha", [1.0, 50.0, 1000.0])
def test_popularity_may_differ_beyond_measure_and_no_seen_item_is_drawn(seen_by, draw, alpha):
    counts = [10**6, 1, 1, 10**6, 1]
    events = seen_by([[0, 3], [0]], 5, counts)
    items, _ = draw(Unseen(events, popularity_masses(events, alpha), 2000), [2, 3])
    assert set(items[0]) == {1, 2, 4}
    assert np.mean(items[1] == 3) > 0.99


def test_the_seed_decides_what_is_drawn(seen_by, draw):
    events = seen_by([[0, 1], [2]], 50)
    negatives = Unseen(events, uniform_masses(events), 20)
    first, _ = draw(negatives, [2, 3, 3], (1, 2))
    np.testing.assert_array_equal(draw(negatives, [2, 3, 3], (1, 2))[0], first)
    assert (draw(negatives, [2, 3, 3], (1, 3))[0] != first).any()
    assert (first[1] != first[2]).any(), "rows of the same user have draws of their own"


# Other positives of the batch


def test_negatives_in_a_batch_are_the_positives_of_its_other_examples(seen_by, batch_of):
    # Three users with an item each of their own, and the last has also seen the first one's.
    events = seen_by([[0], [1], [2, 0]], 5)
    batch = batch_of([0, 1, 2])
    items, weights = InBatch(events, 200)(events.at(batch.examples), batch)
    places, weights = items.numpy() - FIRST_KNOWN, weights.numpy()
    assert [set(row) for row in places] == [{1, 2}, {0, 2}, {0, 1}]
    assert (weights[:2] == 1).all()
    np.testing.assert_array_equal(weights[2], places[2] == 1)
    assert 60 < (places[0] == 1).sum() < 140


def test_a_batch_of_one_example_has_no_other_positives(seen_by, batch_of):
    events = seen_by([[0], [1]], 5)
    _, weights = InBatch(events, 3)(events.at([1]), batch_of([1]))
    assert (weights.numpy() == 0).all()


def test_a_positive_is_no_negative_of_its_own_even_where_nothing_is_known_to_be_seen(seen_by, batch_of):
    streamed = seen_by([[0], [0], [1]], 5)
    batch = batch_of([0, 1, 2])
    positives = streamed.at(batch.examples)
    streamed.users, streamed.items, streamed.at = streamed.users[:0], streamed.items[:0], lambda examples: positives
    items, weights = InBatch(streamed, 30)(positives, batch)
    np.testing.assert_array_equal(weights, items.numpy() != positives.items.numpy()[:, None])


# Hard ones


def test_hard_negatives_are_the_highest_scored_of_the_candidates(seen_by, batch_of):
    class Scorer:
        """Scores an item by its index, and is asked outside of training."""

        def score_items(self, query, items):
            return tf.cast(items, tf.float32)

    events = seen_by([[39, 38], [0]], 40)
    users = Events(tf.constant([2, 3]), tf.zeros(2, tf.int32), None, {})
    batch = batch_of([0, 1])
    drawn, _ = Unseen(events, uniform_masses(events), 12)(users, batch)
    items, weights = Hard(events, Scorer(), 3, 12)(users, batch)
    np.testing.assert_array_equal(items, -np.sort(-drawn.numpy(), axis=1)[:, :3])
    assert (weights.numpy() == 1).all()


# Shared ones


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**31 - 1))
def test_as_many_uniform_draws_as_there_are_items_are_the_whole_catalogue(seen_by, draw, num_known, seed):
    events = seen_by([[0]], num_known)
    items, _ = draw(Shared(events, uniform_masses(events), num_known), [2], (seed, 0))
    np.testing.assert_array_equal(items, np.arange(num_known))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=12), st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_a_popular_item_is_drawn_about_as_often_as_expected_in_every_sample(seen_by, draw, counts, number, seed):
    events = seen_by([[0]], len(counts), counts)
    shared = Shared(events, popularity_masses(events, 1.0), number)
    items, _ = draw(shared, [2], (seed, 0))
    expected = np.maximum(counts, 1) / np.maximum(counts, 1).sum() * number
    found = np.bincount(items, minlength=len(counts))
    assert (np.abs(found - expected) < 2).all(), "each stretch gives one, so only the two at its ends may miss"
    log_expected = shared.log_expected(tf.constant(np.arange(len(counts)) + FIRST_KNOWN))
    np.testing.assert_allclose(np.exp(log_expected), expected, rtol=1e-4)


def test_items_are_drawn_by_their_share_over_many_batches(seen_by, draw):
    counts = [1, 2, 3, 4, 10]
    events = seen_by([[0]], 5, counts)
    shared = Shared(events, popularity_masses(events, 0.5), 3)
    items = np.concatenate([draw(shared, [2], (7, step))[0] for step in range(400)])
    roots = np.sqrt(counts)
    assert chisquare(np.bincount(items, minlength=5), 1200 * roots / roots.sum()).pvalue > 1e-3


def test_a_shared_item_weighs_nothing_for_a_user_who_has_seen_it_and_the_others_make_up_for_it(seen_by, draw):
    events = seen_by([[0, 1, 3], [], [0, 1, 2, 3], [2]], 4)
    masses = uniform_masses(events)
    items, weights = draw(Shared(events, masses, 4, weight=0.5, avoid_seen=True), [2, 3, 4, 5])
    np.testing.assert_array_equal(items, [0, 1, 2, 3])
    third = 0.5 / 0.75
    expected = [[0, 0, 2, 0], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], [third, third, 0, third]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    _, weights = draw(Shared(events, masses, 4, weight=0.5), [2, 3])
    np.testing.assert_array_equal(weights, np.full((2, 4), 0.5))


def test_the_weight_of_avoided_popular_items_is_made_up_for_by_their_mass(seen_by, draw):
    events = seen_by([[0]], 3, [6, 3, 1])
    shared = Shared(events, popularity_masses(events, 1.0), 10, weight=0.1, avoid_seen=True)
    items, weights = draw(shared, [2])
    np.testing.assert_allclose(weights[0], np.where(items == 0, 0, 0.1 / 0.4), rtol=1e-5)


# Over several replicas


@pytest.mark.parametrize("name", ["uniform", "popularity", "in-batch", "shared"])
def test_several_replicas_draw_what_one_would(seen_by, batch_of, share_out, name):
    events = seen_by([[0, 5, 2], [1, 4], [2, 3, 7, 6]], 9)
    options = {"name": "uniform", "shared": 4} if name == "shared" else {"name": name}
    sampler = make_sampler(events=events, model=None, negatives=3, **options)
    batch = batch_of([8, 0, 3, 4, 2])
    items, weights = (part.numpy() for part in sampler(events.at(batch.examples), batch))
    for replica, share in enumerate(share_out(batch, 2)):
        own_items, own_weights = sampler(events.at(share.examples), share)
        np.testing.assert_array_equal(own_items, items if name == "shared" else items[replica::2])
        np.testing.assert_array_equal(own_weights, weights[replica::2])


# Mistakes


@pytest.fixture
def refused(sequences_of):
    """Checks that options are refused with a message."""
    data = sequences_of([4, 3], 5, num_items=12)
    model = zoo.build("mf", data.schema, embedding_dim=3)

    def check(objective, message, **options):
        with pytest.raises(UserError, match=message):
            make_objective(objective, model, data, options)

    return check


@pytest.mark.parametrize("objective", ["pointwise", "bpr", "sampled_softmax"])
def test_options_out_of_range_are_refused(refused, objective):
    refused(objective, r"negatives must be at least 1\. Received: 0", negatives=0)
    refused(objective, r"alpha must be at least 0\. Received: -0\.5", negatives=2, sampler="popularity", alpha=-0.5)
    refused(objective, "nan is not a finite number: option 'alpha'", negatives=2, sampler="popularity", alpha=np.nan)
    refused(objective, r"Unknown sampler 'popular'\. Did you mean 'popularity'\?", negatives=2, sampler="popular")


@pytest.mark.parametrize("objective", ["pointwise", "bpr", "sampled_softmax"])
def test_an_option_that_would_do_nothing_is_refused(refused, objective):
    refused(objective, "alpha does nothing with sampler=uniform; it goes with sampler=popularity", alpha=0.5)


@pytest.mark.parametrize("objective", ["pointwise", "bpr"])
def test_candidates_go_with_the_hard_sampler(refused, objective):
    refused(objective, "candidates does nothing with sampler=in-batch", sampler="in-batch", candidates=30)
    refused(objective, r"candidates must be at least 6\. Received: 5", sampler="hard", negatives=5, candidates=5)


def test_only_samplers_of_the_catalogue_share_negatives(refused):
    refused("pointwise", "sampler=hard draws negatives for each positive", sampler="hard", shared=4)
    refused("sampled_softmax", "sampler=in-batch draws negatives for each positive", negatives=4, sampler="in-batch")
    refused("pointwise", "avoid_seen=false goes with shared negatives", avoid_seen=False)


def test_no_more_than_the_catalogue_is_shared(refused):
    refused("pointwise", r"Only the 12 items of the catalogue can be drawn for a batch\. Received: 13", shared=13)
    refused("sampled_softmax", r"Only the 12 items .* Received: 256", negatives=256)
    refused("pointwise", r"shared must be at least 0\. Received: -1", shared=-1)
