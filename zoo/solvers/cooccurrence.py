"""What closed forms read from interactions: who liked what, and how often two items were liked by the same user."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from zoo.errors import UserError
from zoo.memory import check_memory

ROWS_AT_ONCE = 1024


def positives(interactions: csr_matrix) -> csr_array:
    """The interactions with a label above 0 as float32 ones, all else as zeros.

    Args:
        interactions: `[num_users, num_items]` labels.

    Returns:
        A matrix of the same shape.

    Raises:
        UserError: If no label is above 0.

    Example:

    >>> positives(csr_matrix([[5.0, -1.0, 0.0]])).toarray()
    array([[1., 0., 0.]], dtype=float32)
    """
    liked = csr_array(interactions > 0, dtype=np.float32)
    if not liked.nnz:
        raise UserError("No interaction of the training part has a label above 0, so there is no positive.")
    return liked


def cooccurrences(liked: csr_array, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """How many users liked both of two items; on the diagonal, how many liked one.

    Args:
        liked: `[num_users, num_items]` zeros and ones.
        dtype: Type of the counts. float32 is exact up to 2**24 users.

    Returns:
        `[num_items, num_items]` counts.

    Example:

    >>> cooccurrences(csr_matrix([[1.0, 1.0], [0.0, 1.0]]))
    array([[1., 1.],
           [1., 2.]], dtype=float32)
    """
    num_items = liked.shape[1]
    needed = np.dtype(dtype).itemsize * num_items**2
    check_memory(f"A count for every two of {num_items:,} items", needed, "Leave out rare items.")
    users_of = liked.T.tocsr()
    counts = np.empty((num_items, num_items), dtype)
    # Sparse while it is made, some rows at a time: all of it would need more memory than the dense result.
    for start in range(0, num_items, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        (users_of[rows] @ liked).astype(dtype).toarray(out=counts[rows])
    return counts
