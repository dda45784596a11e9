from __future__ import annotations

import numpy as np
import pytest

import zoo


def test_the_papers_mlp_3_of_64_factors():
    model = zoo.build("ncf", num_users=8, num_items=9, embedding_dim=128, hidden=(128, 64))
    shapes = [tuple(weight.shape) for weight in model.trainable_weights]
    # Vectors of 128 are joined to 256, which go to 128, to 64 factors, and to a score.
    assert shapes == [(10, 128), (11, 128), (256, 128), (128,), (128, 64), (64,), (64, 1), (1,)]


def test_a_score_is_an_mlp_of_both_vectors():
    model = zoo.build("ncf", num_users=3, num_items=4, embedding_dim=2, hidden=(3, 2))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    users, items, *dense = model.get_weights()[:8]
    units = np.concatenate([users[3], items[4]])
    for kernel, bias in (dense[:2], dense[2:4]):
        units = np.maximum(units @ kernel + bias, 0)
    np.testing.assert_allclose(model.score({"user": [3]}, [4]), units @ dense[4] + dense[5], rtol=1e-5)


def test_vectors_start_with_the_papers_spread():
    model = zoo.build("ncf", num_users=4000, num_items=4000, embedding_dim=12)
    for name in ("user_vectors", "item_vectors"):
        assert model.get_layer(name).get_weights()[0][2:].std() == pytest.approx(0.01, rel=0.05)
