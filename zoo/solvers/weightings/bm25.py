"""BM25: as TF-IDF, and the likings of an item that many users liked say less."""

import numpy as np
from scipy.sparse import csr_array

from zoo.solvers.weightings import WEIGHTINGS, Weighting

# The usual values, see Robertson and Zaragoza, 2009, 10.1561/1500000019.
K1, B = 1.2, 0.75


def bm25(liked: csr_array) -> csr_array:
    """Weighs likings as the words of documents: `idf * (K1 + 1) / (1 + K1 * (1 - B + B * length / mean length))`.

    Items are the documents, their users the words, so the length of an item is the number of users who liked it. The
    `idf` of a user is `log(1 + (items - liked + 0.5) / (liked + 0.5))`.

    Args:
        liked: `[num_users, num_items]` zeros and ones.

    Returns:
        Weights in the same places.

    Example:

    >>> bm25(csr_array([[1.0, 1.0], [0.0, 1.0]])).toarray().round(4)
    array([[0.2111, 0.1604],
           [0.    , 0.61  ]], dtype=float32)
    """
    by_user, by_item = np.diff(liked.indptr), np.bincount(liked.indices, minlength=liked.shape[1])
    idf = np.log1p((np.count_nonzero(by_item) - by_user + 0.5) / (by_user + 0.5))
    lengths = by_item / by_item[by_item > 0].mean()
    of_item = (K1 + 1) / (1 + K1 * (1 - B + B * lengths))
    weights = np.repeat(idf, by_user) * of_item[liked.indices]
    return csr_array((weights.astype(np.float32), liked.indices, liked.indptr), shape=liked.shape)


WEIGHTINGS.register(Weighting("bm25", bm25))
