"""Regressions of every item on a few others, which take memory for these alone."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import csr_array

# Items that are solved side by side.
ITEMS_AT_ONCE = 64


def regress_on_candidates(liked: csr_array, candidates: csr_array, l1: float, l2: float, sweeps: int = 20) -> csr_array:
    """The weights at or above 0 by which some items tell best who liked another, by coordinate descent.

    Item `j` gets the `w` that minimises `|x_j - X w|**2 / 2 + l2 * |w|**2 / 2 + l1 * |w|_1`, where the columns of `X`
    are those of its candidates (Ning and Karypis, 2011, 10.1109/ICDM.2011.134).

    Args:
        liked: `[users, items]` zeros and ones.
        candidates: `[items, items]`. What is stored in the row of an item are the items it is told from.
        l1: Weight of the sum of the weights. It makes small ones 0.
        l2: Weight of the sum of their squares, above 0.
        sweeps: How often every weight is solved, given the others.

    Returns:
        `[items, items]` float32: the weights of item `j` in row `j`.

    Example:

    >>> liked = csr_array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> regress_on_candidates(liked, csr_array([[0.0, 1.0], [1.0, 0.0]]), l1=0.0, l2=1.0).toarray()
    array([[0.       , 0.5      ],
           [0.6666667, 0.       ]], dtype=float32)
    """
    users_of = liked.T.tocsr()
    width = int(np.diff(candidates.indptr).max(initial=1))

    def solve(start: int) -> np.ndarray:
        rows = range(start, min(start + ITEMS_AT_ONCE, candidates.shape[0]))
        gram, target = np.zeros((len(rows), width, width), np.float32), np.zeros((len(rows), width), np.float32)
        for place, item in enumerate(rows):
            chosen = candidates.indices[candidates.indptr[item] : candidates.indptr[item + 1]]
            users = users_of[chosen]
            gram[place, : len(chosen), : len(chosen)] = (users @ users.T).toarray()
            target[place, : len(chosen)] = (users @ users_of[[item]].T).toarray()[:, 0]
        weights = np.zeros_like(target)
        predicted = np.zeros_like(target)
        for _ in range(sweeps):
            for column in range(width):
                own, before = gram[:, column, column], weights[:, column].copy()
                without = target[:, column] - predicted[:, column] + own * before
                weights[:, column] = np.maximum(without - l1, 0) / (own + l2)
                predicted += gram[:, :, column] * (weights[:, column] - before)[:, None]
        return weights

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        solved = np.concatenate(list(pool.map(solve, range(0, candidates.shape[0], ITEMS_AT_ONCE))))
    exists = np.arange(width) < np.diff(candidates.indptr)[:, None]
    weights = csr_array((solved[exists], candidates.indices, candidates.indptr), shape=candidates.shape, copy=True)
    weights.eliminate_zeros()
    return weights
