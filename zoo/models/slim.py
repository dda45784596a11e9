"""Sparse linear method: a few weights at or above 0 for every item rebuild histories best (Ning and Karypis, 2011).

It is what `ease` is, for catalogues whose weights for every two items do not fit.

Hparams:
    neighbors: The most similar items, among which those that have a weight are found.
    l1: Regularization that makes small weights 0.
    l2: Regularization that makes weights small.
    pairs: Weights that the model has room for; null makes room for those that are not 0.
"""

from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import ItemLogits
from zoo.layers import SparseRows, each_liked_once
from zoo.registry import register
from zoo.schema import Schema
from zoo.solvers.cooccurrence import positives
from zoo.solvers.nearest import nearest_columns
from zoo.solvers.sparse_regression import regress_on_candidates

# Few common users make no candidate.
SHRINKAGE = 10.0


@register("slim", solver="closed_form", query=("history",), paper="10.1109/ICDM.2011.134", tiny={"neighbors": 5})
def slim(
    schema: Schema, *, neighbors: int = 100, l1: float = 0.0, l2: float = 100.0, pairs: int | None = None
) -> ItemLogits:
    if neighbors < 1 or l1 < 0 or l2 <= 0:
        raise UserError(
            "slim: neighbors must be at least 1, l1 at least 0 and l2 above 0. "
            f"Received: neighbors={neighbors}, l1={l1}, l2={l2}."
        )
    weights = SparseRows(schema.size("item"), schema.size("item"), pairs or 1)

    def regress(interactions: csr_matrix) -> dict[str, int]:
        liked = positives(interactions)
        weights.set(regress_on_candidates(liked, nearest_columns(liked, neighbors, SHRINKAGE), l1, l2).T.tocsr())
        return {"pairs": weights.pairs}

    history = schema.input("history")
    return ItemLogits(logits=weights(history, each_liked_once(schema)), solver=regress, work=weights.sizes)
