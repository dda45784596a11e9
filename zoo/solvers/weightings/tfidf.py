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
    items = TfidfTransformer(norm=None).fit_transform(liked.T)
    return csr_array(items.T, dtype=np.float32)


WEIGHTINGS.register(Weighting("tfidf", tfidf))
