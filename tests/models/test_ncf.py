from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError


def test_the_papers_mlp_3_of_64_factors():
    model = zoo.build("ncf", num_users=8, num_items=9, embedding_dim=128, hidden=(128, 64))
    shapes = [tuple(weight.shape) for weight in model.trainable_weights]
    # Vectors of 128 are joined to 256, which go to 128 (here half by half), to 64 factors, and to a score.
    tables, first = [(10, 128), (11, 128)], [(128, 128), (128,), (128, 128)]
    assert shapes == [*tables, *first, (128, 64), (64,), (64, 1), (1,)]


def test_a_score_is_an_mlp_of_both_vectors():
    model = zoo.build("ncf", num_users=3, num_items=4, embedding_dim=2, hidden=(3, 2))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))

    def weights(layer):
        return model.get_layer(layer).get_weights()

    (users,), (items,), (of_users, bias), (of_items,) = map(
        weights, ("user_vectors", "item_vectors", "mlp_query", "mlp_item")
    )
    units = np.concatenate([users[3], items[4]])
    first = np.concatenate([of_users, of_items]), bias
    for kernel, bias in (first, weights("mlp_1")):
        units = np.maximum(units @ kernel + bias, 0)
    kernel, bias = weights("output")
    np.testing.assert_allclose(model.score({"user": [3]}, [4]), units @ kernel + bias, rtol=1e-5)


def test_both_halves_of_the_first_layer_start_as_one_of_their_joint_width_would():
    model = zoo.build("ncf", num_users=8, num_items=9, embedding_dim=128, hidden=(64,))
    for name in ("mlp_query", "mlp_item"):
        kernel = model.get_layer(name).get_weights()[0]
        # Glorot's bound.
        assert kernel.std() == pytest.approx((6 / (256 + 64)) ** 0.5 / 3**0.5, rel=0.05)


def test_an_mlp_without_layers_is_refused():
    with pytest.raises(UserError, match="hidden"):
        zoo.build("ncf", num_users=3, num_items=4, hidden=())


def test_vectors_start_with_the_papers_spread():
    model = zoo.build("ncf", num_users=4000, num_items=4000, embedding_dim=12)
    for name in ("user_vectors", "item_vectors"):
        assert model.get_layer(name).get_weights()[0][2:].std() == pytest.approx(0.01, rel=0.05)
