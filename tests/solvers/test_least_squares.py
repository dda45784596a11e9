from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random

from zoo.solvers import least_squares
from zoo.solvers.least_squares import gram_axes, solve_rows, steps_needed


def exact(matrix, vectors, ridge, unobserved_weight=0.0):
    """Every row's normal equations, solved one by one in float64; a stored zero is observed."""
    gram = unobserved_weight * vectors.T @ vectors
    solved = np.zeros((matrix.shape[0], vectors.shape[1]))
    for row in range(matrix.shape[0]):
        stored = slice(matrix.indptr[row], matrix.indptr[row + 1])
        observed = vectors[matrix.indices[stored]]
        system = observed.T @ observed + gram + ridge[row] * np.eye(vectors.shape[1])
        solved[row] = np.linalg.solve(system, observed.T @ matrix.data[stored])
    return solved


def table(rows=30, columns=20, dim=5, density=0.3, seed=0):
    rng = np.random.default_rng(seed)
    matrix = random(rows, columns, density, format="csr", random_state=rng, data_rvs=lambda n: rng.normal(size=n))
    return matrix, rng.normal(size=(columns, dim)), rng.uniform(0.5, 3, rows)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(least_squares).failed == 0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    weight=st.sampled_from([0.0, 0.01, 0.3, 2.0]),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    dim=st.integers(1, 8),
)
def test_many_steps_give_the_solution_of_the_normal_equations(seed, weight, density, dim):
    matrix, vectors, ridge = table(dim=dim, density=density, seed=seed)
    solved = solve_rows(matrix, vectors, ridge, weight, steps=40)
    np.testing.assert_allclose(solved, exact(matrix, vectors, ridge, weight), atol=1e-4)


def test_a_stored_zero_is_observed_and_a_missing_one_is_not():
    stored = csr_matrix(([1.0, 0.0], ([0, 0], [0, 1])), shape=(1, 2))
    vectors, ridge = np.array([[1.0], [1.0]]), np.ones(1)
    assert solve_rows(stored, vectors, ridge) == pytest.approx(1 / 3)
    assert solve_rows(csr_matrix([[1.0, 0.0]]), vectors, ridge) == pytest.approx(1 / 2)


def test_a_row_in_which_nothing_is_observed_is_zeros():
    solved = solve_rows(csr_matrix((2, 4)), np.ones((4, 3)), np.ones(2), 0.5)
    assert not solved.any()


def test_a_solution_to_start_from_stays():
    matrix, vectors, ridge = table()
    there = exact(matrix, vectors, ridge, 0.3)
    np.testing.assert_allclose(solve_rows(matrix, vectors, ridge, 0.3, start=there), there, atol=1e-5)


def test_steps_from_the_last_sweep_come_nearer_than_steps_from_zeros():
    matrix, vectors, ridge = table(dim=12)
    there = exact(matrix, vectors, ridge, 0.3)
    start = there + np.random.default_rng(1).normal(0, 0.01, there.shape)
    error = [np.abs(solve_rows(matrix, vectors, ridge, 0.3, start=s, steps=1) - there).max() for s in (start, None)]
    assert error[0] < error[1] / 10


@pytest.mark.parametrize("numbers", [1, 40, 10**6])
def test_batches_of_any_size_give_the_same(monkeypatch, numbers):
    matrix, vectors, ridge = table()
    expected = solve_rows(matrix, vectors, ridge, 0.3, steps=20)
    monkeypatch.setattr(least_squares, "BATCH_NUMBERS", numbers)
    np.testing.assert_allclose(solve_rows(matrix, vectors, ridge, 0.3, steps=20), expected, atol=1e-6)


def test_in_gram_axes_vectors_are_uncorrelated_and_their_dot_products_as_before():
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)
    turned = vectors @ gram_axes(vectors)
    gram = turned.T @ turned
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T)


@pytest.mark.parametrize("weight", [0.001, 0.3])
@pytest.mark.parametrize("error", [1e-2, 1e-5])
def test_the_steps_needed_bring_every_row_as_near_as_wanted(weight, error):
    matrix, vectors, ridge = table(rows=60, columns=40, dim=12)
    matrix.data[:] = 1
    steps = steps_needed(matrix, vectors, ridge, weight, error)
    expected = exact(matrix, vectors, ridge, weight)
    lengths = np.maximum(np.linalg.norm(expected, axis=1), 1e-9)
    errors = [
        (np.linalg.norm(solve_rows(matrix, vectors, ridge, weight, steps=number) - expected, axis=1) / lengths).max()
        for number in (steps, steps // 2)
    ]
    assert errors[0] <= error * 1.01
    assert errors[1] > error
