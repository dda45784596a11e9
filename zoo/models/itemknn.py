"""Item neighbours: an item's score is how similar the items of the history are to it (Sarwar et al., 2001).

Hparams:
    neighbors: How many of the most similar items count. More count only where several tie for the last place.
    shrinkage: Added to the denominator of the cosine, so that few common users make no great similarity.
"""

import numpy as np
from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import ItemLogits
from zoo.layers import item_to_item, liked_items
from zoo.registry import register
from zoo.schema import Schema
from zoo.solvers.cooccurrence import cooccurrences, positives


@register("itemknn", solver="closed_form", query=("history",), paper="10.1145/371920.372071", tiny={"neighbors": 5})
def itemknn(schema: Schema, *, neighbors: int = 100, shrinkage: float = 10.0) -> ItemLogits:
    if neighbors < 1 or shrinkage < 0:
        raise UserError(
            "itemknn: neighbors must be at least 1 and shrinkage at least 0. "
            f"Received: neighbors={neighbors}, shrinkage={shrinkage}."
        )
    weights = item_to_item(schema.size("item"))

    def count(interactions: csr_matrix) -> None:
        similarity = cooccurrences(positives(interactions))
        norms = np.sqrt(np.diag(similarity))
        last = -min(neighbors, len(similarity))
        for item, row in enumerate(similarity):
            row /= np.maximum(norms * norms[item] + shrinkage, 1e-9)
            row[item] = 0
            row[row < np.partition(row, last)[last]] = 0
        weights.set_weights([similarity.T])

    return ItemLogits(logits=weights(liked_items(schema)), solver=count)
