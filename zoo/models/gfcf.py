"""GF-CF: a history as a signal on the graph of items, smoothed by two low-pass filters (Shen et al., 2021).

Hparams:
    filters: The smoothest components that the ideal low-pass filter lets pass, or as many as there are.
    ideal_weight: Weight of the ideal filter beside the linear one; 0 leaves it out.
"""

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import svds

from zoo.errors import UserError
from zoo.families import ItemLogits
from zoo.layers import item_to_item, liked_items
from zoo.memory import check_memory
from zoo.registry import register
from zoo.schema import FIRST_KNOWN, Schema
from zoo.solvers.cooccurrence import degree_powers, positives

ROWS_AT_ONCE = 1024
OTHERWISE = "Leave out rare items, or choose an architecture with item vectors, e.g. lightgcn or ials."


@register("gfcf", solver="closed_form", query=("history",), paper="arXiv:2108.07567", tiny={"filters": 4})
def gfcf(schema: Schema, *, filters: int = 256, ideal_weight: float = 0.3) -> ItemLogits:
    if filters < 1 or ideal_weight < 0:
        raise UserError(
            f"gfcf: filters must be at least 1 and ideal_weight at least 0. Received: {filters} and {ideal_weight}."
        )
    weights = item_to_item(schema.size("item"), OTHERWISE)

    def solve(interactions: csr_matrix) -> None:
        num_items = interactions.shape[1]
        check_memory(f"The filters of {num_items:,} items", 8 * num_items**2 + 8 * num_items * filters, OTHERWISE)
        liked = positives(interactions)
        of_users, of_items = degree_powers(liked, -0.5), degree_powers(liked.T, -0.5)
        normalized = (diags(of_users) @ liked @ diags(of_items)).tocsr()
        components = _smoothest(normalized, filters)
        into, out_of = of_items[:, None] * components, ideal_weight * degree_powers(liked.T, 0.5)[:, None] * components
        both, transposed = np.empty((num_items, num_items), np.float32), normalized.T.tocsr()
        for start in range(0, num_items, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            both[rows] = (transposed[rows] @ normalized).toarray() + into[rows] @ out_of.T
        weights.set_weights([both])

    return ItemLogits(logits=weights(liked_items(schema)), solver=solve)


def _smoothest(normalized: csr_matrix, filters: int) -> np.ndarray:
    """The right singular vectors of the largest singular values, `[num_items, at most filters]`."""
    number = min(filters, min(normalized.shape) - FIRST_KNOWN)
    start = np.random.default_rng(0).normal(size=min(normalized.shape))
    _, values, right = svds(normalized.astype(np.float64), number, v0=start, return_singular_vectors="vh")
    # Vectors of vanishing values only complete the basis. They say nothing.
    return right[values > 1e-6 * values.max()].T.astype(np.float32)
