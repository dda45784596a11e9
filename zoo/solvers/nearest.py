"""The nearest columns of a sparse matrix, which are the most similar items."""

from __future__ import annotations

import os

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from sparse_dot_topn import sp_matmul_topn


def nearest_columns(weights: csr_array, neighbors: int, shrinkage: float = 0.0) -> csr_array:
    """The columns of the largest cosine with each column, with the cosine.

    Shrinkage is added to the squared lengths: columns with few entries are similar to none. The products are
    taken row by row and only the best of each are kept, so they need the memory of what is kept.

    Args:
        weights: `[rows, columns]` weights above 0.
        neighbors: How many columns are kept of each. Of equal cosines, any may be.
        shrinkage: What is added to the squared lengths of columns.

    Returns:
        `[columns, columns]` float32, the nearest of a column in its row. A column is not its own neighbour.

    Example:

    >>> nearest_columns(csr_array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), neighbors=1).toarray().round(4)
    array([[0.    , 1.    , 0.    ],
           [1.    , 0.    , 0.    ],
           [0.    , 0.7071, 0.    ]], dtype=float32)
    """
    lengths = np.sqrt(weights.power(2).sum(axis=0) + shrinkage)
    scales = np.where(lengths > 0, 1 / np.maximum(lengths, 1e-9), 0)
    values = (weights.data * scales[weights.indices]).astype(np.float32)
    scaled = csr_matrix((values, weights.indices, weights.indptr), weights.shape)
    # One more, because a column is near itself.
    wanted = min(neighbors + 1, weights.shape[1])
    best = sp_matmul_topn(scaled.T.tocsr(), scaled, wanted, sort=True, n_threads=os.cpu_count())
    counts = np.diff(best.indptr)
    is_other = best.indices != np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    before = np.append(0, np.cumsum(is_other))
    kept = is_other & (before[1:] - np.repeat(before[best.indptr[:-1]], counts) <= neighbors)
    starts = np.append(0, np.cumsum(kept))[best.indptr]
    return csr_array((best.data[kept], best.indices[kept], starts), shape=best.shape)
