"""TF-IDF: the likings of a user who liked few items say more."""

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfTransformer

from zoo.solvers.weightings import WEIGHTINGS, Weighting


def tfidf(liked: csr_array) -> csr_array:
    """Weighs users as words are weighed that stand in few documents: `1 + log((1 + items) / (1 + liked))`.

    Args:
        liked: `[num_users, num_items]` zeros and ones.

    Returns:
        Weights in the same places.

    Example:

    >>> tfidf(csr_array([[1.0, 1.0], [0.0, 1.0]])).toarray().round(4)
    array([[1.    , 1.    ],
           [0.    , 1.4055]], dtype=float32)
    """
    items = liked.T.tocsr()
    # Rows of padding, and items that nobody liked, are no documents.
    documents = items[np.diff(items.indptr) > 0]
    weights = TfidfTransformer(norm=None).fit(documents).transform(items)
    return csr_array(weights.T, dtype=np.float32)


WEIGHTINGS.register(Weighting("tfidf", tfidf))
