from __future__ import annotations

import numpy as np
import pytest

import zoo


def trained(**hparams):
    """Matrix factorization with weights far from zero, and its tables by their shapes."""
    model = zoo.build("mf", num_users=3, num_items=4, embedding_dim=5, **hparams)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return model, {tuple(weight.shape): weight.numpy() for weight in model.trainable_weights}


QUERY, ITEMS = {"user": np.arange(5)}, np.tile(np.arange(6), (5, 1))


def test_a_score_is_a_dot_product_plus_the_biases_of_user_and_item():
    model, tables = trained()
    expected = tables[5, 5] @ tables[6, 5].T + tables[5, 1] + tables[6, 1].T
    np.testing.assert_allclose(model.score(QUERY, ITEMS), expected, rtol=1e-5)


def test_without_biases_it_is_the_dot_product():
    model, tables = trained(biases=False)
    assert set(tables) == {(5, 5), (6, 5)}
    np.testing.assert_allclose(model.score(QUERY, ITEMS), tables[5, 5] @ tables[6, 5].T, rtol=1e-5)


@pytest.mark.parametrize("biases", [True, False])
def test_an_unknown_user_has_no_taste(biases):
    model = zoo.build("mf", num_users=3, num_items=4, embedding_dim=5, biases=biases)
    bias = next((weight.numpy()[:, 0] for weight in model.trainable_weights if weight.shape == (6, 1)), np.zeros(6))
    np.testing.assert_array_equal(model.score({"user": [1]}, np.arange(6)[None])[0], bias)
