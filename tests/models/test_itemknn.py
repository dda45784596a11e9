from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix
from sklearn.metrics.pairwise import cosine_similarity

import zoo
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, Schema
from zoo.solvers.weightings import WEIGHTINGS


@functools.cache
def built(num_users, num_items, **hparams):
    schema = Schema.of_ids(num_users, num_items, history_length=num_items)
    return zoo.build("itemknn", schema, **hparams)


def scores(labels, histories, **hparams):
    """The scores of all items for histories, rows of labels too, by the item neighbours of `[users, items]` labels."""
    # There is room for all pairs, so that the model is compiled once.
    model = built(*np.shape(labels), pairs=np.shape(labels)[1] ** 2, **hparams)
    model.solver(csr_matrix(np.pad(labels, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    items = np.arange(FIRST_KNOWN, model.num_items)
    query = {"history": np.where(histories, items, 0), "history_rating": histories}
    return model.score(query, np.tile(items, (len(histories), 1)))


def similarities(labels, **hparams):
    """How similar the items of a row are to the items of a column where they are neighbours of these, else 0."""
    return scores(labels, np.eye(np.shape(labels)[1]), **hparams)


def shrunk_cosines(likes, shrinkage):
    """The common users of two items over the lengths of their columns, whose squares have the shrinkage added."""
    likes = np.asarray(likes, np.float64)
    lengths = np.sqrt((likes**2).sum(axis=0) + shrinkage)
    cosines = likes.T @ likes / np.maximum(np.outer(lengths, lengths), 1e-9)
    np.fill_diagonal(cosines, 0)
    return cosines


def some_likes(num_users=30, num_items=8, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (num_users, num_items)).astype(np.float32)


LIKES = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 1], [1, 0, 0, 0]], np.float32)


def test_a_score_is_the_sum_of_the_cosines_of_the_liked_items_among_the_neighbours():
    # Items 0 to 3 were liked by 4, 2, 2 and 1 users; two users liked both 0 and 1.
    cosine = {(0, 1): 2 / 8**0.5, (0, 2): 2 / 8**0.5, (0, 3): 1 / 2, (1, 2): 1 / 2, (2, 3): 1 / 2**0.5}
    found = scores(LIKES, np.array([[1, 0, 1, 0]]), neighbors=4, shrinkage=0.0)[0]
    expected = [cosine[0, 2], cosine[0, 1] + cosine[1, 2], cosine[0, 2], cosine[0, 3] + cosine[2, 3]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # If one neighbour counts, item 1 has only item 0 and item 3 only item 2. Items 0 and 2 have either of two that tie.
    found = similarities(LIKES, neighbors=1, shrinkage=0.0)
    assert (np.count_nonzero(found, axis=0) == 1).all()
    assert found[0, 1]
    assert found[2, 3]
    assert found[1, 0] or found[2, 0]
    assert found[0, 2] or found[3, 2]


def test_the_shrinkage_is_added_to_the_squared_lengths():
    found = similarities(LIKES, neighbors=4, shrinkage=3.0)
    assert found[0, 1] == pytest.approx(2 / ((4 + 3) * (2 + 3)) ** 0.5)
    assert found[2, 3] == pytest.approx(1 / ((2 + 3) * (1 + 3)) ** 0.5)


@pytest.mark.parametrize("weighting", ["plain", "tfidf", "bm25"])
def test_the_cosines_are_those_of_scikit_learn_for_every_weighting(weighting):
    likes = some_likes()
    likes[0] = 1
    weights = csr_array(likes)
    expected = cosine_similarity(WEIGHTINGS[weighting].weigh(weights).T)
    np.fill_diagonal(expected, 0)
    found = similarities(likes, neighbors=8, shrinkage=0.0, weighting=weighting)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_unknown_weighting_is_refused_with_the_near_names():
    with pytest.raises(UserError, match=r"tfid.*tfidf"):
        zoo.build("itemknn", num_users=3, num_items=4, weighting="tfid")


@pytest.mark.parametrize(
    ("num_items", "neighbors", "shrinkage"), [(8, 1, 0.0), (8, 3, 10.0), (20, 5, 1.0), (2, 3, 0.0)]
)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_most_similar_items_count_with_their_cosines_and_no_others(num_items, neighbors, shrinkage, seed):
    likes = some_likes(num_items=num_items, seed=seed)
    found = similarities(likes, neighbors=neighbors, shrinkage=shrinkage)
    cosines = shrunk_cosines(likes, shrinkage)
    kept = found > 0
    np.testing.assert_allclose(found[kept], cosines[kept], rtol=1e-5)
    for item in range(num_items):
        mine = kept[:, item]
        assert mine.sum() == min(neighbors, (cosines[:, item] > 0).sum())
        last = np.sort(cosines[:, item])[-min(neighbors, num_items)]
        assert (cosines[mine, item] >= last - 1e-6).all()
        assert (cosines[~mine, item] <= last + 1e-6).all()


@pytest.mark.parametrize("neighbors", [8, 10, 11, 1000])
def test_as_many_neighbours_as_items_or_more_are_all_of_them(neighbors):
    likes = some_likes()
    found = similarities(likes, neighbors=neighbors)
    np.testing.assert_allclose(found, shrunk_cosines(likes, 10.0), rtol=1e-5)


def test_the_default_serves_a_small_catalogue():
    assert np.isfinite(scores(LIKES, LIKES)).all()


def test_labels_of_0_and_below_are_not_liked_and_how_far_above_does_not_count():
    labels = np.random.default_rng(0).integers(-2, 4, (30, 8)).astype(np.float32)
    likes = (labels > 0).astype(np.float32)
    np.testing.assert_array_equal(scores(labels, labels, neighbors=3), scores(likes, likes, neighbors=3))


def test_an_item_that_a_history_lists_twice_counts_once_and_an_unknown_one_does_not():
    likes = some_likes()
    expected = scores(likes, np.array([[0, 0, 1, 0, 1, 0, 0, 0]]), neighbors=3)
    query = {"history": [[4, 6, 4, 1, 0, 0, 0, 0]], "history_rating": np.ones((1, 8))}
    found = built(*likes.shape, pairs=64, neighbors=3).score(query, np.arange(2, 10)[None])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_other_numbers_for_the_items_and_users_give_the_same_scores():
    rng = np.random.default_rng(0)
    # All cosines differ, so that none is left out by chance.
    likes = some_likes(num_users=500, num_items=8)
    items, users = rng.permutation(8), rng.permutation(500)
    turned = scores(likes[users][:, items], likes[:5, items], neighbors=3)
    np.testing.assert_allclose(turned, scores(likes, likes[:5], neighbors=3)[:, items], rtol=1e-5)


def test_a_model_stores_no_more_pairs_than_there_are_neighbours():
    model = built(*LIKES.shape, neighbors=2)
    model.solver(csr_matrix(np.pad(LIKES, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    assert model.hparams["pairs"] == 2 * 4
    assert sum(weight.shape[0] for weight in model.weights if "values" in weight.path) == 2 * 4


def test_an_item_that_nobody_liked_is_nobodys_neighbour_and_has_none():
    likes = some_likes()
    likes[:, 3] = 0
    found = similarities(likes, shrinkage=0.0)
    assert not found[3].any()
    assert not found[:, 3].any()


@pytest.mark.parametrize(
    ("hparams", "received"),
    [
        ({"neighbors": 0}, "neighbors=0, shrinkage=10.0"),
        ({"neighbors": -3}, "neighbors=-3, shrinkage=10.0"),
        ({"shrinkage": -0.5}, "neighbors=100, shrinkage=-0.5"),
    ],
)
def test_hparams_that_mean_nothing_are_refused(hparams, received):
    with pytest.raises(UserError, match=rf"itemknn: neighbors must be at least 1 and .* Received: {received}"):
        zoo.build("itemknn", num_users=3, num_items=4, **hparams)


@pytest.mark.parametrize("label", [0.0, -1.0])
def test_training_data_without_a_positive_is_refused(label):
    labels = np.full((3, 8), label)
    with pytest.raises(UserError, match="label above 0, so there is no positive"):
        scores(labels, labels)
