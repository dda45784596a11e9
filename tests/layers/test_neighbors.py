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
    layer = UserNeighbors(*np.shape(liked), neighbors)
    layer.build()
    layer.set_liked(csr_matrix(liked, dtype=np.float32))
    return layer(np.array(queries, np.float32)).numpy()


def brute_force(liked, query, neighbors):
    """The rule written out, user by user."""
    near = []
    for other in liked:
        common = (other * query).sum()
        if 0 < common < other.sum():
            near.append((common / np.sqrt(other.sum() * query.sum()), other))
    near.sort(key=lambda pair: -pair[0])
    last = near[min(neighbors, len(near)) - 1][0] if near else 0
    chosen = [(cosine, other) for cosine, other in near if cosine >= last - 1e-9]
    total = sum(cosine for cosine, _ in chosen)
    return sum(cosine * other for cosine, other in chosen) / total if chosen else np.zeros(liked.shape[1])


def test_a_score_is_the_share_of_neighbours_weighted_by_their_cosines():
    liked = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1]]
    # The first two items: user 0 has nothing new, user 3 nothing in common.
    near, far = 2 / np.sqrt(2 * 3), 1 / np.sqrt(2 * 3)
    expected = np.array([near, near + far, near + far, far]) / (near + far)
    np.testing.assert_allclose(scores(liked, [[1, 1, 0, 0]], 4)[0], expected, rtol=1e-6)


def test_only_the_nearest_count_and_all_that_tie_for_the_last_place():
    liked = [[1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    np.testing.assert_allclose(scores(liked, [[1, 1, 0, 0, 0]], 1)[0], liked[0])
    both = scores(liked, [[1, 0, 0, 0, 0]], 1)[0]
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


def test_too_many_users_and_items_are_refused_before_the_matrix_is_made(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"1,000,000 users and 5,000 items needs 20\.0 GB .* choose itemknn"):
        UserNeighbors(1_000_000, 5_000, 10).build()
