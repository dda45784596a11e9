from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from zoo import memory
from zoo.errors import UserError
from zoo.solvers import cooccurrence
from zoo.solvers.cooccurrence import cooccurrences, positives


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
