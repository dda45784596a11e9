from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

import zoo
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, Schema


@functools.cache
def built(num_users, num_items, **hparams):
    schema = Schema.of_ids(num_users, num_items, history_length=num_items)
    return zoo.build("userknn", schema, **hparams)


def scores(labels, histories, **hparams):
    """The scores of all items for histories, rows of labels too, by the user neighbours of `[users, items]` labels."""
    # There is room for all likings, so that the model is compiled once.
    model = built(*np.shape(labels), pairs=np.size(labels), **hparams)
    model.solver(csr_matrix(np.pad(labels, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    items = np.arange(FIRST_KNOWN, model.num_items)
    query = {"history": np.where(histories, items, 0), "history_rating": histories}
    return model.score(query, np.tile(items, (len(histories), 1)))


def some_likes(num_users=20, num_items=8, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (num_users, num_items)).astype(np.float32)


def test_a_score_is_the_share_of_the_neighbours_who_liked_the_item_by_their_cosines():
    labels = np.array([[5, 4, 3, 0], [0, 2, 5, 1], [0, -1, -4, 5], [4, 3, 0, 0]])
    # The history has items 0 and 1 in common with user 0, item 1 with user 1, nothing with user 2, and user 3
    # liked nothing else. A rating below 0 is no liking, on either side.
    near, far = 2 / np.sqrt(2 * 3), 1 / np.sqrt(2 * 3)
    found = scores(labels, np.array([[3, 1, -2, 0]]), neighbors=4)[0]
    np.testing.assert_allclose(found, np.array([near, near + far, near + far, far]) / (near + far), rtol=1e-6)


def test_only_the_nearest_count():
    labels = np.array([[1, 1, 1, 0], [0, 1, 1, 1]])
    np.testing.assert_allclose(scores(labels, np.array([[1, 1, 0, 0]]), neighbors=1), [[1, 1, 1, 0]])


def test_more_neighbours_than_users_are_all_of_them():
    likes = some_likes()
    everybody, more = (scores(likes, likes, neighbors=number) for number in (20, 1000))
    np.testing.assert_array_equal(more, everybody)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_whoever_comes_after_training_is_scored_like_a_user_of_the_training_data(seed):
    likes = some_likes(seed=seed)
    before, newcomer = likes[1:], likes[:1]
    np.testing.assert_allclose(
        scores(before, newcomer, neighbors=3), scores(likes, newcomer, neighbors=3), rtol=1e-5, atol=1e-6
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_other_numbers_for_the_items_and_users_give_the_same_scores(seed):
    # All users count, because of those that tie for the last place it is the first who do.
    rng = np.random.default_rng(seed)
    likes = some_likes(seed=seed)
    items, users = rng.permutation(8), rng.permutation(20)
    turned = scores(likes[users][:, items], likes[:, items], neighbors=20)
    np.testing.assert_allclose(turned, scores(likes, likes, neighbors=20)[:, items], rtol=1e-5, atol=1e-6)


def test_an_item_that_a_history_lists_twice_counts_once_and_an_unknown_one_does_not():
    likes = some_likes()
    expected = scores(likes, np.array([[0, 0, 1, 0, 1, 0, 0, 0]]), neighbors=3)
    query = {"history": [[4, 6, 4, 1, 0, 0, 0, 0]], "history_rating": np.ones((1, 8))}
    found = built(*likes.shape, pairs=160, neighbors=3).score(query, np.arange(2, 10)[None])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("neighbors", [0, -1])
def test_there_is_at_least_one_neighbour(neighbors):
    with pytest.raises(UserError, match=rf"userknn: neighbors must be at least 1\. Received: {neighbors}"):
        zoo.build("userknn", num_users=3, num_items=4, neighbors=neighbors)


@pytest.mark.parametrize("label", [0.0, -1.0])
def test_training_data_without_a_positive_is_refused(label):
    labels = np.full((3, 8), label)
    with pytest.raises(UserError, match="label above 0, so there is no positive"):
        scores(labels, labels)
