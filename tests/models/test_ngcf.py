from __future__ import annotations

import keras
import numpy as np
from graphs import check_fold_in, check_users_without_edges, make, normalized, part, vectors


def test_vectors_are_those_of_the_papers_equation():
    model = make("ngcf", embedding_dim=4, units=(3, 2))
    users, items = ([part(model, f"{of}_start").get_weights()[0].astype(np.float64)] for of in ("user", "item"))
    kernels = [
        layer.get_weights()[0] for layer in part(model, "propagation").parts if isinstance(layer, keras.layers.Dense)
    ]
    for of_sum, of_product in zip(kernels[:2], kernels[2:], strict=True):
        received = normalized() @ items[-1], normalized().T @ users[-1]
        for nodes, messages in zip((users, items), received, strict=True):
            units = (nodes[-1] + messages) @ of_sum + (nodes[-1] * messages) @ of_product
            nodes.append(np.where(units > 0, units, 0.2 * units))
    expected = [
        np.concatenate([n[0], *(r / np.maximum(np.linalg.norm(r, axis=1, keepdims=True), 1e-6) for r in n[1:])], axis=1)
        for n in (users, items)
    ]
    np.testing.assert_allclose(vectors(model, range(2, 7), [[]] * 5), expected[0][2:7], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.encode_catalogue()[0], expected[1], rtol=1e-4, atol=1e-5)


def test_a_history_gives_the_vector_of_a_known_user():
    check_fold_in(make("ngcf", embedding_dim=4, units=(3, 2)))


def test_users_without_edges_are_answered_from_their_histories():
    check_users_without_edges(make("ngcf", embedding_dim=4, units=(3, 2)))
