from __future__ import annotations

import numpy as np
import pytest

import zoo


def weighted(model, seed=0):
    """The model with weights far from zero, and its tables and the weights of the product."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return (model.get_layer(name).get_weights()[0] for name in ("user_vectors", "item_vectors", "weights"))


def test_a_score_is_the_weighted_sum_of_the_elementwise_product():
    model = zoo.build("gmf", num_users=3, num_items=4, embedding_dim=5)
    users, items, weights = weighted(model)
    score = model.score({"user": [2, 4]}, [[2, 5], [3, 3]])
    expected = [[(users[u] * items[i] * weights).sum() for i in row] for u, row in ((2, (2, 5)), (4, (3, 3)))]
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_with_weights_of_1_it_is_matrix_factorization():
    model = zoo.build("gmf", num_users=3, num_items=4, embedding_dim=5)
    users, items, _ = weighted(model)
    model.get_layer("weights").set_weights([np.ones(5)])
    query = {"user": np.arange(5)}
    scores = model.score(query, np.tile(np.arange(6), (5, 1)))
    np.testing.assert_allclose(scores, users @ items.T, rtol=1e-5, atol=1e-6)


def test_vectors_start_with_the_papers_spread_and_weights_as_matrix_factorization():
    model = zoo.build("gmf", num_users=4000, num_items=4000, embedding_dim=12)
    for name in ("user_vectors", "item_vectors"):
        table = model.get_layer(name).get_weights()[0]
        assert not table[:2].any()
        assert table[2:].std() == pytest.approx(0.01, rel=0.05)
    (weights,) = model.get_layer("weights").get_weights()
    np.testing.assert_array_equal(weights, np.ones(12))
