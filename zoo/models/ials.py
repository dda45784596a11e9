"""Implicit alternating least squares: user and item vectors solved in turn (Hu et al., 2008; Rendle et al., 2021).

The graph solves a user's vector from the history, so users who arrive after training have one too.

Hparams:
    embedding_dim: Width of the user and item vectors.
    regularization: L2 of a vector, times the number of its interactions plus the weighted number of its other pairs.
    frequency_scaling: The power of that number; 0 regularizes all vectors alike.
    unobserved_weight: Weight of a pair that was not seen. A pair that was seen has 1 more.
    epochs: How often users and items are solved.
    stddev: Spread of the length of the initial vectors.
"""

import numpy as np
from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import Towers
from zoo.layers import Embedding, LeastSquaresFoldIn, liked_events
from zoo.registry import register
from zoo.schema import FIRST_KNOWN, Schema
from zoo.solvers.cooccurrence import positives
from zoo.solvers.least_squares import solve_rows


@register(
    "ials",
    solver="closed_form",
    query=("history",),
    paper="arXiv:2110.14037",
    tiny={"embedding_dim": 4, "epochs": 3},
)
def ials(
    schema: Schema,
    *,
    embedding_dim: int = 64,
    regularization: float = 0.007,
    frequency_scaling: float = 1.0,
    unobserved_weight: float = 0.3,
    epochs: int = 12,
    stddev: float = 0.1,
) -> Towers:
    if min(embedding_dim, epochs) < 1 or min(regularization, unobserved_weight, stddev) <= 0:
        raise UserError(
            "ials: embedding_dim and epochs must be at least 1, regularization, unobserved_weight and stddev above 0. "
            f"Received: embedding_dim={embedding_dim}, epochs={epochs}, regularization={regularization}, "
            f"unobserved_weight={unobserved_weight}, stddev={stddev}."
        )

    def ridge(counts, others):
        return regularization * (counts + unobserved_weight * others) ** frequency_scaling

    num_users, num_items = schema.size("user") - FIRST_KNOWN, schema.size("item") - FIRST_KNOWN
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=stddev / embedding_dim**0.5, trainable=False)
    fold_in = LeastSquaresFoldIn(item_vectors, unobserved_weight, lambda counts: ridge(counts, num_items))

    def alternate(interactions: csr_matrix) -> None:
        by_user = positives(interactions)
        by_item = by_user.T.tocsr()
        ridge_of_users = ridge(np.diff(by_user.indptr), num_items)
        ridge_of_items = ridge(np.diff(by_item.indptr), num_users)
        users, (items,) = None, item_vectors.get_weights()
        for _ in range(epochs):
            users = solve_rows(by_user, items, ridge_of_users, unobserved_weight, start=users)
            items = solve_rows(by_item, users, ridge_of_items, unobserved_weight, start=items)
        fold_in.set(items)

    return Towers(
        query=fold_in(schema.input("history"), liked_events(schema)),
        item=item_vectors(schema.input("item")),
        solver=alternate,
    )
