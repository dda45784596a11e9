from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from zoo.solvers import nearest
from zoo.solvers.nearest import nearest_columns
from zoo.solvers.weightings import WEIGHTINGS, bm25, tfidf


def some_weights(rows=40, columns=15, seed=0):
    rng = np.random.default_rng(seed)
    return csr_array(rng.random((rows, columns)) * rng.integers(0, 2, (rows, columns)))


@pytest.mark.parametrize("module", [nearest, tfidf, bm25])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("neighbors", [1, 4, 14, 100])
def test_the_nearest_columns_are_those_of_the_largest_cosines(neighbors):
    weights = some_weights()
    expected = cosine_similarity(weights.T)
    np.fill_diagonal(expected, 0)
    last = np.sort(expected, axis=1)[:, -min(neighbors, 15)]
    found = nearest_columns(weights, neighbors).toarray()
    np.testing.assert_allclose(found, np.where(expected >= last[:, None], expected, 0), rtol=1e-5)


def test_shrinkage_is_added_to_the_squared_lengths():
    weights = some_weights()
    dense = weights.toarray()
    lengths = np.sqrt((dense**2).sum(axis=0) + 7)
    expected = dense.T @ dense / np.outer(lengths, lengths)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(nearest_columns(weights, 15, shrinkage=7.0).toarray(), expected, rtol=1e-5)


def test_a_column_of_zeros_is_nobodys_neighbour():
    weights = some_weights().toarray()
    weights[:, 3] = 0
    found = nearest_columns(csr_array(weights), 15).toarray()
    assert np.isfinite(found).all()
    assert not found[3].any()
    assert not found[:, 3].any()


def test_users_are_weighed_as_scikit_learn_weighs_the_words_of_documents():
    liked = np.random.default_rng(0).integers(0, 2, (6, 9))
    liked[0] = 1
    documents = [" ".join(f"user{user}" for user in np.flatnonzero(column)) for column in liked.T]
    words = [f"user{user}" for user in range(6)]
    expected = TfidfVectorizer(norm=None, vocabulary=words).fit_transform(documents).toarray().T
    found = WEIGHTINGS["tfidf"].weigh(csr_array(liked.astype(np.float32))).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_bm25_is_the_formula_written_out():
    liked = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], np.float32)
    found = WEIGHTINGS["bm25"].weigh(csr_array(liked)).toarray()
    for user, item in np.argwhere(liked):
        known = liked[user].sum()
        idf = np.log(1 + (3 - known + 0.5) / (known + 0.5))
        length = liked[:, item].sum() / (6 / 3)
        assert found[user, item] == pytest.approx(idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * length)), rel=1e-6)
