"""Embarrassingly shallow autoencoder: the linear item-to-item weights that rebuild histories best (Steck, 2019).

Hparams:
    l2: Regularization of the weights. null derives it from the data: twice the number of items that came together with
        an average liking, which is some 30 for users with few items and some 500 for MovieLens.
"""

import numpy as np
from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import ItemLogits
from zoo.layers import item_to_item, liked_items
from zoo.memory import check_memory
from zoo.registry import register
from zoo.schema import Schema
from zoo.solvers.cooccurrence import cooccurrences, positives
from zoo.solvers.inverse import invert_in_place

# What to do about a catalogue that is too large.
LARGER = "Leave out rare items, or choose slim, which keeps few weights an item."


@register("ease", solver="closed_form", query=("history",), paper="arXiv:1905.03375", tiny={"l2": 10.0})
def ease(schema: Schema, *, l2: float | None = None) -> ItemLogits:
    if l2 is not None and l2 <= 0:
        raise UserError(f"ease: l2 must be above 0. Received: {l2}.")
    weights = item_to_item(schema.size("item"))

    def solve(interactions: csr_matrix) -> dict[str, object]:
        num_items = interactions.shape[1]
        # In float64, then in float32 on its way into the layer.
        check_memory(f"The inverse of a matrix of {num_items:,} items", 16 * num_items**2, LARGER)
        liked = positives(interactions)
        # A user with many items is met by as many likings.
        counts = np.diff(liked.indptr).astype(np.float64)
        ridge = l2 or 2 * float(np.square(counts).sum() / counts.sum())
        inverse = cooccurrences(liked, np.float64)
        inverse[np.diag_indices(num_items)] += ridge
        if not invert_in_place(inverse):
            raise UserError(f"ease: l2 is lost beside the counts of the items. Received: {ridge}. Choose a larger one.")
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        weights.set_weights([inverse])
        return {"l2": ridge}

    return ItemLogits(logits=weights(liked_items(schema)), solver=solve)
