from __future__ import annotations

import doctest

import numpy as np
import pytest

from zoo.solvers import inverse
from zoo.solvers.inverse import invert_in_place


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(inverse).failed == 0


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
def test_the_product_with_the_matrix_is_the_identity(monkeypatch, rows_at_once):
    monkeypatch.setattr(inverse, "ROWS_AT_ONCE", rows_at_once)
    factor = np.random.default_rng(0).normal(size=(20, 11))
    matrix = factor.T @ factor + np.eye(11)
    inverted = matrix.copy()
    assert invert_in_place(inverted)
    np.testing.assert_allclose(inverted @ matrix, np.eye(11), atol=1e-9)
    np.testing.assert_array_equal(inverted, inverted.T)


def test_a_matrix_without_an_inverse_is_told():
    assert not invert_in_place(np.zeros((2, 2)))
