from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from zoo import memory
from zoo.errors import UserError
from zoo.layers import UserNeighbors


def scores(liked, queries, neighbors):
    # Room from the start, because Keras collects garbage when a weight makes way for a larger one.
    layer = UserNeighbors(*np.shape(liked), neighbors, pairs=np.count_nonzero(liked))
    layer.set_liked(csr_matrix(liked, dtype=np.float32))
    queries = np.array(queries, np.float32)
    return layer(np.tile(np.arange(queries.shape[1], dtype=np.int32), (len(queries), 1)), queries).numpy()


def brute_force(liked, query, neighbors):
    """The rule written out, user by user."""
    near = []
    for other in liked:
        common = (other * query).sum()
        if 0 < common < other.sum():
            near.append((common / np.sqrt(other.sum() * query.sum()), other))
    near.sort(key=lambda pair: -round(pair[0], 6))
    chosen = near[:neighbors]
    total = sum(cosine for cosine, _ in chosen)
    return sum(cosine * other for cosine, other in chosen) / total if chosen else np.zeros(liked.shape[1])


def test_a_score_is_the_share_of_neighbours_weighted_by_their_cosines():
    liked = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1]]
    # The first two items: user 0 has nothing new, user 3 nothing in common.
    near, far = 2 / np.sqrt(2 * 3), 1 / np.sqrt(2 * 3)
    expected = np.array([near, near + far, near + far, far]) / (near + far)
    np.testing.assert_allclose(scores(liked, [[1, 1, 0, 0]], 4)[0], expected, rtol=1e-6)


def test_only_the_nearest_count_and_the_first_of_those_that_tie_for_the_last_place():
    liked = [[1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    np.testing.assert_allclose(scores(liked, [[1, 1, 0, 0, 0]], 1)[0], liked[0])
    np.testing.assert_allclose(scores(liked, [[1, 0, 0, 0, 0]], 1)[0], liked[1])
    both = scores(liked, [[1, 0, 0, 0, 0]], 2)[0]
    np.testing.assert_allclose(both, [1, 0, 0, 0.5, 0.5], rtol=1e-6)


def test_a_user_takes_no_place_among_the_own_neighbours():
    rng = np.random.default_rng(0)
    liked = rng.integers(0, 2, (12, 9))
    others = np.delete(liked, 3, axis=0)
    np.testing.assert_allclose(scores(liked, liked[3:4], 2), scores(others, liked[3:4], 2), rtol=1e-6)


def test_nobody_is_near_an_empty_history():
    assert not scores([[1, 1], [1, 0]], [[0, 0]], 2).any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), neighbors=st.integers(1, 20))
def test_neighbours_are_those_of_the_rule_written_out(seed, neighbors):
    rng = np.random.default_rng(seed)
    liked, queries = rng.integers(0, 2, (15, 10)), rng.integers(0, 2, (5, 10))
    expected = [brute_force(liked, query, neighbors) for query in queries]
    np.testing.assert_allclose(scores(liked, queries, neighbors), expected, atol=1e-6)


def test_the_layer_holds_as_many_numbers_as_there_are_likings_users_and_items():
    liked = csr_matrix(np.eye(50, 40, dtype=np.float32))
    layer = UserNeighbors(50, 40, 5)
    layer.set_liked(liked)
    assert layer.count_params() == 2 * liked.nnz + 2 * (50 + 40) + 2 * 50


def test_likings_that_do_not_fit_are_refused_before_there_is_room_for_them(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    with pytest.raises(UserError, match=r"A sparse matrix of 1,000,000 pairs needs 8\.0 MB"):
        UserNeighbors(1000, 5000, 10, pairs=10**6).build()
