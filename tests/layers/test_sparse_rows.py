from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.layers import SparseRows


@pytest.mark.parametrize("is_weighted", [True, False])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.0, 0.02, 0.3, 1.0]), length=st.integers(1, 9))
def test_sums_are_products_with_the_matrix(is_weighted, seed, density, length):
    rng = np.random.default_rng(seed)
    matrix = scipy.sparse.random_array((12, 7), density=density, rng=rng, dtype=np.float32).tocsr()
    if not is_weighted:
        matrix.data[:] = 1
    # Room from the start, because Keras collects garbage when a weight makes way for a larger one.
    layer = SparseRows(12, 7, pairs=matrix.nnz, is_weighted=is_weighted)
    layer.set(matrix)
    rows = rng.integers(0, 12, (4, length))
    weights = (rng.normal(size=(4, length)) * rng.integers(0, 2, (4, length))).astype(np.float32)
    chosen = np.zeros((4, 12))
    np.add.at(chosen, (np.arange(4)[:, None], rows), weights)
    np.testing.assert_allclose(layer(rows, weights), chosen @ matrix.toarray(), atol=1e-5)


def test_another_matrix_takes_the_place_of_the_first():
    layer = SparseRows(2, 3)
    for values in ([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]], [[0.0, 0.0, 0.0], [0.0, 4.0, 0.0]]):
        layer.set(scipy.sparse.csr_array(values))
        np.testing.assert_allclose(layer(np.array([[0], [1]]), np.ones((2, 1), np.float32)), values)
    assert [weight.shape[0] for weight in layer.weights] == [2, 2, 3, 3]


def test_the_sizes_are_the_pairs_of_the_rows():
    layer = SparseRows(3, 3)
    layer.set(scipy.sparse.csr_array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 4.0, 0.0]]))
    assert layer.sizes(np.array([[0, 2], [1, 1]])).tolist() == [4, 0]
