"""Embarrassingly shallow autoencoder: the linear item-to-item weights that rebuild histories best (Steck, 2019).

Hparams:
    l2: Regularization of the weights, larger for sparser data.
"""

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import ItemLogits
from zoo.layers import item_to_item, liked_items
from zoo.memory import check_memory
from zoo.registry import register
from zoo.schema import Schema
from zoo.solvers.cooccurrence import cooccurrences, positives


@register("ease", solver="closed_form", query=("history",), paper="arXiv:1905.03375", tiny={"l2": 10.0})
def ease(schema: Schema, *, l2: float = 500.0) -> ItemLogits:
    if l2 <= 0:
        raise UserError(f"ease: l2 must be above 0. Received: {l2}.")
    weights = item_to_item(schema.size("item"))

    def solve(interactions: csr_matrix) -> None:
        num_items = interactions.shape[1]
        check_memory(f"The inverse of a matrix of {num_items:,} items", 24 * num_items**2, "Leave out rare items.")
        gram = cooccurrences(positives(interactions)).astype(np.float64)
        gram[np.diag_indices(num_items)] += l2
        # The inverse by Cholesky, in place. LAPACK fills one triangle.
        factor, failed = lapack.dpotrf(gram.T, overwrite_a=True)
        if failed:
            raise UserError(f"ease: l2 is lost beside the counts of the items. Received: {l2}. Choose a larger one.")
        inverse = np.triu(lapack.dpotri(factor, overwrite_c=True)[0])
        inverse += np.triu(inverse, 1).T
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        weights.set_weights([inverse])

    return ItemLogits(logits=weights(liked_items(schema)), solver=solve)
