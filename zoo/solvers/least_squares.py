"""Weighted ridge regressions of many rows at once, the half sweep of alternating least squares."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.sparse import csr_array, csr_matrix

if TYPE_CHECKING:
    from zoo.types import Tensor

Numbers: TypeAlias = "np.ndarray | Tensor"
# Numbers of a batch. They should stay in the cache of a processor while its steps are taken.
BATCH_NUMBERS = 2**18
# Rows on which steps are counted.
ROWS_TRIED = 128


def solve_rows(
    matrix: csr_matrix,
    vectors: np.ndarray,
    ridge: np.ndarray,
    unobserved_weight: float = 0.0,
    start: np.ndarray | None = None,
    steps: int = 2,
) -> np.ndarray:
    """The vector of every row that fits its values best, given the vectors of the columns (Hu et al., 2008).

    Row `r` with the values `y` in the columns `C` gets the `x` that minimises
    `sum((y[c] - x @ v[c])**2 for c in C) + unobserved_weight * sum((x @ v)**2 for all v) + ridge[r] * x @ x`,
    by conjugate gradients (Takács et al., 2011, 10.1145/2043932.2043987): a few steps from the vectors of
    the sweep before, or as many as are wanted from zeros.

    Args:
        matrix: `[rows, columns]` values; what is stored is observed, zeros too.
        vectors: `[columns, dim]` of the columns.
        ridge: `[rows]` regularization, above 0.
        unobserved_weight: Weight of a zero that every row has in every column.
        start: `[rows, dim]` to start from, by default zeros.
        steps: Steps of conjugate gradients.

    Returns:
        `[rows, dim]` float32.

    Example:

    >>> solve_rows(csr_matrix([[2.0, 0.0]]), np.eye(2), ridge=np.ones(1))
    array([[1., 0.]], dtype=float32)
    """
    axes = gram_axes(vectors)
    # Rows shorter than others of their batch are padded with a column of zeros after the last.
    turned = np.pad(vectors @ axes, [(0, 1), (0, 0)]).astype(np.float32)
    unobserved = unobserved_weight * np.square(turned).sum(axis=0)
    shape = matrix.shape[0], vectors.shape[1]
    solutions = np.zeros(shape, np.float32) if start is None else (start @ axes).astype(np.float32)

    def solve(batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        rows, columns, values = batch
        observed = turned.take(columns, axis=0)
        diagonal = unobserved + ridge[rows, None].astype(np.float32)
        # Not by BLAS, because its own threads cost more than such small products do.
        spread = lambda x: np.einsum("rld,rd->rl", observed, x)  # noqa: E731
        gather = lambda y: np.einsum("rld,rl->rd", observed, y)  # noqa: E731
        solution = solutions[rows]
        residual = gather(values - spread(solution)) - diagonal * solution
        solutions[rows] = conjugate_gradients(
            solution, residual, diagonal, lambda x: diagonal * x + gather(spread(x)), steps
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(solve, _batches(matrix, vectors.shape[1])))
    return (solutions @ axes.T).astype(np.float32)


def steps_needed(
    matrix: csr_array, vectors: np.ndarray, ridge: np.ndarray, unobserved_weight: float, error: float = 3e-6
) -> int:
    """The steps of conjugate gradients from zeros after which rows are as near their solutions as wanted.

    They are counted on rows of all lengths, `ROWS_TRIED` of them, against the exact solutions.

    Args:
        matrix: `[rows, columns]` values; what is stored is observed.
        vectors: `[columns, dim]` of the columns.
        ridge: `[rows]` regularization, above 0.
        unobserved_weight: Weight of a zero that every row has in every column.
        error: Largest error of a row's vector, as a share of its length.

    Returns:
        The steps that the slowest of these rows takes, or up to a quarter more, and at most twice the width.

    Example:

    >>> steps_needed(csr_array([[2.0, 0.0]]), np.eye(2), np.ones(1), unobserved_weight=0.5, error=1e-6)
    1
    """
    turned = vectors @ gram_axes(vectors)
    by_length = np.argsort(np.diff(matrix.indptr), kind="stable")
    tried = by_length[np.unique(np.linspace(0, len(by_length) - 1, ROWS_TRIED).astype(int))]
    chosen = matrix[tried]
    diagonal = unobserved_weight * np.square(turned).sum(axis=0) + ridge[tried, None]
    systems = np.stack([turned[row].T @ turned[row] for row in np.split(chosen.indices, chosen.indptr[1:-1])])
    systems += diagonal[:, :, None] * np.eye(turned.shape[1])
    target = chosen @ turned
    exact = np.linalg.solve(systems, target[..., None])[..., 0]
    wanted = error * np.linalg.norm(exact, axis=1)
    # In float32, which takes more steps, as the graph does.
    systems, target, diagonal = (numbers.astype(np.float32) for numbers in (systems, target, diagonal))
    steps, most = 1, 2 * turned.shape[1]
    while steps < most:
        found = conjugate_gradients(
            np.zeros_like(target), target, diagonal, lambda x: (systems @ x[..., None])[..., 0], steps
        )
        if (np.linalg.norm(found - exact, axis=1) <= wanted).all():
            break
        # A quarter more, because every trial begins anew.
        steps = math.ceil(1.25 * steps)
    return min(steps, most)


def gram_axes(vectors: np.ndarray) -> np.ndarray:
    """Axes, `[dim, dim]`, in which the Gram matrix of `[n, dim]` vectors is diagonal."""
    exact = vectors.astype(np.float64)
    return np.linalg.eigh(exact.T @ exact)[1]


def conjugate_gradients(
    solution: Numbers,
    residual: Numbers,
    diagonal: Numbers,
    multiply: Callable[[Numbers], Numbers],
    steps: int,
    dot: Callable[[Numbers, Numbers], Numbers] = lambda x, y: np.einsum("rd,rd->r", x, y)[:, None],
) -> Numbers:
    """Steps towards the solutions of many systems, of arrays or of tensors of a graph.

    Args:
        solution: `[batch, dim]` first guess.
        residual: `[batch, dim]` by which its product with the systems misses what it should be.
        diagonal: `[batch, dim]` preconditioner: diagonal systems near the systems.
        multiply: Products of the systems with `[batch, dim]` vectors.
        steps: How many.
        dot: The `[batch, 1]` dot products of `[batch, dim]` vectors.

    Returns:
        `[batch, dim]`.
    """
    scaled = direction = residual / diagonal
    size = dot(residual, scaled)
    for _ in range(steps):
        image = multiply(direction)
        length = size / (dot(direction, image) + TINY)
        solution = solution + length * direction
        residual = residual - length * image
        scaled = residual / diagonal
        size, size_before = dot(residual, scaled), size
        direction = scaled + size / (size_before + TINY) * direction
    return solution


# Keeps a quotient from 0 / 0 where a solution is exact already.
TINY = 1e-30


def _batches(matrix: csr_matrix, dim: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows of like length together: their numbers, and `[batch, length]` padded columns and values."""
    order = np.argsort(np.diff(matrix.indptr), kind="stable")
    matrix = matrix[order]
    counts, stop = np.diff(matrix.indptr), len(order)
    while stop:
        # From the longest on.
        length = int(counts[stop - 1])
        start = max(0, stop - max(1, BATCH_NUMBERS // (max(length, 1) * dim)))
        events = slice(matrix.indptr[start], matrix.indptr[stop])
        exists = np.arange(length) < counts[start:stop, None]
        columns = np.full(exists.shape, matrix.shape[1])
        columns[exists] = matrix.indices[events]
        values = np.zeros(exists.shape, np.float32)
        values[exists] = matrix.data[events]
        yield order[start:stop], columns, values
        stop = start
