"""Implicit alternating least squares: user and item vectors solved in turn (Hu et al., 2008; Rendle et al., 2021).

The graph solves a user's vector from the history, so users who arrive after training have one too.

Hparams:
    embedding_dim: Width of the user and item vectors; null takes 64, and 128 for more than 10,000 items.
    regularization: L2 of a vector, times the number of its interactions plus the weighted number of its other pairs.
    frequency_scaling: The power of that number; 0 regularizes all vectors alike.
    unobserved_weight: Weight of a pair that was not seen. A pair that was seen has 1 more. null takes 15 times the
        share of pairs that were seen, so all others together weigh 15 times as much as these.
    epochs: How often users and items are solved.
    stddev: Spread of the length of the initial vectors.
    steps: Steps by which the graph solves a user; null takes those that the users of the training data need.
"""

import numpy as np
from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import Towers
from zoo.layers import Embedding, LeastSquaresFoldIn, liked_events
from zoo.registry import register
from zoo.schema import FIRST_KNOWN, Schema
from zoo.solvers.cooccurrence import positives
from zoo.solvers.least_squares import solve_rows, steps_needed

# Items above which wider vectors are worth their time: they tell less about each other.
MANY_ITEMS = 10_000


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
    embedding_dim: int | None = None,
    regularization: float = 0.007,
    frequency_scaling: float = 1.0,
    unobserved_weight: float | None = None,
    epochs: int = 12,
    stddev: float = 0.1,
    steps: int | None = None,
) -> Towers:
    given = [value for value in (regularization, unobserved_weight, stddev) if value is not None]
    num_users, num_items = schema.size("user") - FIRST_KNOWN, schema.size("item") - FIRST_KNOWN
    if embedding_dim is None:
        embedding_dim = 128 if num_items > MANY_ITEMS else 64
    if min(embedding_dim, epochs, 1 if steps is None else steps) < 1 or min(given) <= 0:
        raise UserError(
            "ials: embedding_dim, epochs and steps must be at least 1, regularization, unobserved_weight and stddev "
            f"above 0. Received: embedding_dim={embedding_dim}, epochs={epochs}, steps={steps}, "
            f"regularization={regularization}, unobserved_weight={unobserved_weight}, stddev={stddev}."
        )
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=stddev / embedding_dim**0.5, trainable=False)

    def ridge(weight, counts, others):
        return regularization * (counts + weight * others) ** frequency_scaling

    def ridge_of_users(weight):
        return lambda counts: ridge(weight, counts, num_items)

    weight = unobserved_weight or 1.0
    fold_in = LeastSquaresFoldIn(item_vectors, weight, ridge_of_users(weight), steps)

    def alternate(interactions: csr_matrix) -> dict[str, object]:
        by_user = positives(interactions)
        by_item = by_user.T.tocsr()
        weight = unobserved_weight or 15 * by_user.nnz / (num_users * num_items)
        of_users = ridge(weight, np.diff(by_user.indptr), num_items)
        of_items = ridge(weight, np.diff(by_item.indptr), num_users)
        users, (items,) = None, item_vectors.get_weights()
        for _ in range(epochs):
            users = solve_rows(by_user, items, of_users, weight, start=users)
            items = solve_rows(by_item, users, of_items, weight, start=items)
        fold_in.set(items)
        fold_in.weigh(weight, ridge_of_users(weight), steps or steps_needed(by_user, items, of_users, weight))
        return {"unobserved_weight": weight, "steps": fold_in.steps}

    return Towers(
        query=fold_in(schema.input("history"), liked_events(schema)),
        item=item_vectors(schema.input("item")),
        solver=alternate,
    )
