"""Singular value decomposition of what users have seen (Cremonesi et al., 2010), or of ratings minus their biases.

Hparams:
    embedding_dim: Width of the vectors, the number of singular values. It is at most the number of users and of items.
    biases: Whether scores are ratings: the mean, biases of user and item and a dot product. These are fitted to only
        the observed ratings, by alternating ridge regressions (Zhou et al., 2008). Otherwise missing labels are
        zeros, and a history is projected onto the first singular vectors.
    regularization: L2 of a vector and its bias; only with biases.
    frequency_scaling: The power of the number of ratings that the L2 is multiplied by; only with biases.
    epochs: How often users and items are solved; only with biases.
"""

import numpy as np
from keras import KerasTensor, ops
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from zoo.errors import UserError
from zoo.families import Towers
from zoo.layers import Embedding, event_labels
from zoo.registry import register
from zoo.schema import FIRST_KNOWN, Schema
from zoo.solvers.least_squares import solve_rows

# Events that are summed one by one.
EVENTS_AT_ONCE = 32


@register(
    "svd",
    solver="closed_form",
    query=("user", "history"),
    paper="10.1145/1864708.1864721",
    tiny={"embedding_dim": 4},
)
def svd(
    schema: Schema,
    *,
    embedding_dim: int = 32,
    biases: bool = False,
    regularization: float = 1.2,
    frequency_scaling: float = 0.5,
    epochs: int = 10,
) -> Towers:
    if min(embedding_dim, epochs) < 1 or regularization <= 0:
        raise UserError(
            "svd: embedding_dim and epochs must be at least 1, and regularization above 0. "
            f"Received: embedding_dim={embedding_dim}, epochs={epochs}, regularization={regularization}."
        )
    if biases:
        return _of_ratings(schema, embedding_dim, regularization, frequency_scaling, epochs)
    return _of_histories(schema, embedding_dim)


def _of_histories(schema: Schema, embedding_dim: int) -> Towers:
    dim = min(embedding_dim, schema.size("user") - FIRST_KNOWN, schema.size("item") - FIRST_KNOWN)
    vectors = Embedding(schema.size("item"), dim, trainable=False)
    # Summed in groups, because a long sum loses digits in an order that runtimes choose.
    labels, history = (_in_groups(events) for events in (event_labels(schema), schema.input("history")))
    query = ops.sum(ops.matmul(labels[:, :, None], vectors(history)), axis=(1, 2))

    def decompose(interactions: csr_matrix) -> dict[str, int]:
        if not interactions.count_nonzero():
            raise UserError("svd: every label of the training part is 0, so there is nothing to decompose.")
        start = np.random.default_rng(0).normal(size=min(interactions.shape))
        _, values, right = svds(interactions.astype(np.float64), dim, v0=start, return_singular_vectors="vh")
        # Vectors of vanishing values only complete the basis. They say nothing.
        vectors.set_weights([right.T * (values > 1e-6 * values.max())])
        return {"embedding_dim": dim}

    return Towers(query=query, item=vectors(schema.input("item")), solver=decompose)


def _in_groups(events: KerasTensor) -> KerasTensor:
    """`[batch, length]` events as `[batch, groups, events]`, padded in front."""
    groups = -(-events.shape[1] // EVENTS_AT_ONCE)
    padded = ops.pad(events, [[0, 0], [groups * EVENTS_AT_ONCE - events.shape[1], 0]])
    return ops.reshape(padded, (-1, groups, EVENTS_AT_ONCE))


def _of_ratings(schema: Schema, dim: int, regularization: float, frequency_scaling: float, epochs: int) -> Towers:
    user, item = schema.input("user"), schema.input("item")
    user_vectors, item_vectors = (Embedding(schema.size(of), dim, trainable=False) for of in ("user", "item"))
    user_biases, item_biases = (Embedding(schema.size(of), 1, trainable=False) for of in ("user", "item"))

    def solve(ratings: csr_matrix, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Vectors of the rows, each with its bias behind it, from those of the columns."""
        data = ratings.data - columns[ratings.indices, -1]
        factors = np.append(columns[:, :-1], np.ones((len(columns), 1)), axis=1)
        ridge = regularization * np.maximum(np.diff(ratings.indptr), 1) ** frequency_scaling
        return solve_rows(
            csr_matrix((data, ratings.indices, ratings.indptr), ratings.shape), factors, ridge, start=rows
        )

    def alternate(interactions: csr_matrix) -> None:
        mean = interactions.data.mean(dtype=np.float64)
        by_user = csr_matrix((interactions.data - mean, interactions.indices, interactions.indptr), interactions.shape)
        by_item = by_user.T.tocsr()
        items = np.concatenate([table.get_weights()[0] for table in (item_vectors, item_biases)], axis=1)
        users = np.zeros((schema.size("user"), items.shape[1]))
        for _ in range(epochs):
            users = solve(by_user, items, users)
            items = solve(by_item, users, items)
        for vectors, biases, solved in ((user_vectors, user_biases, users), (item_vectors, item_biases, items)):
            vectors.set_weights([solved[:, :-1]])
            biases.set_weights([solved[:, -1:]])
        model.set_rating_scale(mean, 1.0)

    model = Towers(
        query=user_vectors(user),
        item=item_vectors(item),
        query_bias=user_biases(user),
        item_bias=item_biases(item),
        solver=alternate,
    )
    return model
