from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from zoo import memory
from zoo.errors import UserError
from zoo.solvers import cooccurrence
from zoo.solvers.cooccurrence import closest_items, cooccurrences, degree_powers, positives, settled_shares


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(cooccurrence).failed == 0


def test_labels_of_0_and_below_are_no_positives_and_are_not_stored():
    labels = csr_matrix(([3.0, 0.0, -2.0, 1.0], ([0, 0, 1, 1], [0, 1, 1, 2])), shape=(2, 3))
    liked = positives(labels)
    np.testing.assert_array_equal(liked.toarray(), [[1, 0, 0], [0, 0, 1]])
    assert liked.nnz == 2
    assert liked.dtype == np.float32


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
def test_cooccurrences_are_the_gram_matrix(monkeypatch, rows_at_once):
    monkeypatch.setattr(cooccurrence, "ROWS_AT_ONCE", rows_at_once)
    liked = np.random.default_rng(0).integers(0, 2, (20, 11))
    np.testing.assert_array_equal(cooccurrences(csr_matrix(liked)), liked.T @ liked)


def test_counts_of_too_many_items_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"every two of 100,000 items needs 40\.0 GB of memory, and 1\.0 GB are"):
        cooccurrences(csr_matrix((3, 100_000), dtype=np.float32))


@pytest.mark.parametrize("rows_at_once", [1, 100])
def test_closest_items_count_what_the_paper_says(monkeypatch, rows_at_once):
    monkeypatch.setattr(cooccurrence, "ROWS_AT_ONCE", rows_at_once)
    # Item 0 is liked along with item 1 twice and with item 2 once; item 3 by itself; item 4 by nobody.
    liked = csr_matrix([[1.0, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 0]])
    closest, weights = closest_items(liked, 2)
    sums = {0: 5, 1: 5, 2: 3}
    assert closest[0].tolist() == [1, 2]
    np.testing.assert_allclose(weights[0], [2 / 3 * np.sqrt(5 / 5), 1 / 3 * np.sqrt(sums[0] / sums[2])], rtol=1e-6)
    assert closest[2].tolist() == [0, 1]
    np.testing.assert_allclose(weights[2], [1 / 2 * np.sqrt(3 / 5)] * 2, rtol=1e-6)
    assert not weights[3:].any()


def test_a_row_without_columns_has_no_degree_and_no_share():
    liked = csr_matrix([[1.0, 1.0], [0.0, 0.0]])
    assert degree_powers(liked, -0.5).tolist() == [pytest.approx(0.5**0.5), 0.0]
    of_users, of_items = settled_shares(liked)
    np.testing.assert_allclose(of_users, [3**0.5 / 2, 0.0])
    np.testing.assert_allclose(of_items, [2**-0.5] * 2)
