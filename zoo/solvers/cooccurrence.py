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


def degree_powers(liked: csr_matrix, power: float) -> np.ndarray:
    """The power of how many columns each row has, float32; 0 where it has none.

    Args:
        liked: `[rows, columns]` zeros and ones.
        power: The power.

    Returns:
        `[rows]`.

    Example:

    >>> degree_powers(csr_matrix([[1.0, 1.0], [0.0, 0.0]]), -1.0)
    array([0.5, 0. ], dtype=float32)
    """
    counts = np.asarray(liked.sum(axis=1), np.float64).ravel()
    return np.power(counts, power, out=np.zeros_like(counts), where=counts > 0).astype(np.float32)


def settled_shares(liked: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """What an item counts for a user once rounds of message passing have settled, as a product of both (UltraGCN).

    It is `sqrt(d_u + 1) / d_u` of a user with `d_u` items, times `1 / sqrt(d_i + 1)` of an item with `d_i` users. A
    user without items has 0.

    Args:
        liked: `[num_users, num_items]` zeros and ones.

    Returns:
        `[num_users]` and `[num_items]`.

    Example:

    >>> of_users, of_items = settled_shares(csr_matrix([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    >>> (3 * of_users).round(6).tolist(), of_items.round(4).tolist()
    ([2.0, 0.0], [0.7071, 0.7071, 0.7071])
    """
    users, items = (np.asarray(liked.sum(axis=axis), np.float64).ravel() for axis in (1, 0))
    return np.divide(np.sqrt(users + 1), users, out=np.zeros_like(users), where=users > 0), 1 / np.sqrt(items + 1)


def closest_items(liked: csr_matrix, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The items that are liked along with each item most, and how much they count for it (UltraGCN).

    With `G` the counts of `cooccurrences` and `g` the sums of its rows, item `j` counts
    `G_ij / (g_i - G_ii) * sqrt(g_i / g_j)` for item `i`.

    Args:
        liked: `[num_users, num_items]` zeros and ones.
        number: Items for each, at least 1.

    Returns:
        `[num_items, number]` item indices and what they count; 0 where there are fewer. Fewer columns come of a
        smaller catalogue.

    Example:

    >>> closest_items(csr_matrix([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), number=1)[0].ravel().tolist()
    [1, 0, 0]
    """
    num_items, number = liked.shape[1], min(number, liked.shape[1] - 1)
    by_user, by_item = liked.tocsr(), liked.T.tocsr()
    own = np.diff(by_item.indptr).astype(np.float64)
    sums = by_item @ (by_user @ np.ones(num_items))
    root = np.sqrt(np.maximum(sums, 1.0))
    closest, weights = np.zeros((num_items, number), np.int32), np.zeros((num_items, number), np.float32)
    for start in range(0, num_items, ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, num_items))
        counts = (by_item[rows] @ by_user).toarray()
        counts[np.arange(len(rows)), rows] = 0
        counts *= (root[rows] / np.maximum(sums - own, 1.0)[rows])[:, None] / root
        closest[rows] = np.argsort(-counts, axis=1, kind="stable")[:, :number]
        weights[rows] = np.take_along_axis(counts, closest[rows], axis=1)
    return closest, weights
