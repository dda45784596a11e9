"""The inverse of a large symmetric matrix in the memory of the matrix."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

ROWS_AT_ONCE = 1024


def invert_in_place(matrix: np.ndarray) -> bool:
    """Turns a symmetric matrix with eigenvalues above 0 into its inverse, by Cholesky.

    Args:
        matrix: `[n, n]` float64, in the order of C. It is overwritten.

    Returns:
        Whether there is an inverse. If not, the matrix is of no use any more.

    Example:

    >>> matrix = np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> invert_in_place(matrix)
    True
    >>> matrix.round(6).tolist()
    [[1.0, -1.0], [-1.0, 2.0]]
    """
    # The matrix of Fortran's order is the transposed one, which is the same. LAPACK fills its upper triangle.
    upper, failed = lapack.dpotrf(matrix.T, overwrite_a=True)
    if failed:
        return False
    upper, _ = lapack.dpotri(upper, overwrite_c=True)
    for start in range(0, len(upper), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        upper[rows, :start] = upper[:start, rows].T
        block = upper[rows, rows]
        block += np.triu(block, 1).T
    return True
