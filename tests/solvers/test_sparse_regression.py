from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import ElasticNet

from zoo.solvers import sparse_regression
from zoo.solvers.sparse_regression import regress_on_candidates


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(sparse_regression).failed == 0


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1.0), (0.5, 1.0), (2.0, 10.0)])
@pytest.mark.parametrize("items_at_once", [3, 100])
def test_the_weights_are_those_of_scikit_learns_elastic_net(monkeypatch, l1, l2, items_at_once):
    monkeypatch.setattr(sparse_regression, "ITEMS_AT_ONCE", items_at_once)
    rng = np.random.default_rng(0)
    liked = rng.integers(0, 2, (30, 8)).astype(np.float32)
    is_candidate = rng.integers(0, 2, (8, 8)) * (1 - np.eye(8))
    # One item is told from none.
    is_candidate[5] = 0
    found = regress_on_candidates(csr_array(liked), csr_array(is_candidate), l1, l2, sweeps=300).toarray()
    for item in range(8):
        chosen = np.flatnonzero(is_candidate[item])
        expected = np.zeros(8)
        if len(chosen):
            # It divides the squared errors, but not the penalties, by the number of rows.
            net = ElasticNet((l1 + l2) / 30, l1_ratio=l1 / (l1 + l2), fit_intercept=False, positive=True, tol=1e-10)
            expected[chosen] = net.fit(liked[:, chosen], liked[:, item]).coef_
        np.testing.assert_allclose(found[item], expected, atol=1e-5)
