from __future__ import annotations

import keras
import numpy as np
import pytest

import zoo
from zoo.errors import UserError


def crossed(model, both, crosses):
    """`x0 * (W x + b) + x`, layer after layer, where W is one matrix or a product of two narrow ones."""
    result = both
    for number in range(crosses):
        layer = model.get_layer(f"cross_{number}")
        kernel = np.asarray(layer.dense.kernel)
        if layer.projection_dim:
            kernel = np.asarray(layer.down_proj_dense.kernel) @ kernel
        result = both * (result @ kernel + np.asarray(layer.dense.bias)) + result
    return result


def mlp_of(model, values):
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense) and layer.name != "output"]
    for layer in layers:
        values = np.maximum(values @ np.asarray(layer.kernel) + np.asarray(layer.bias), 0)
    assert len(layers) == 2
    return values


@pytest.mark.parametrize("projection_dim", [0, 3])
@pytest.mark.parametrize("structure", ["stacked", "parallel"])
def test_a_score_is_an_mlp_after_or_beside_crosses_of_all_feature_vectors(by_hand, structure, projection_dim):
    hparams = {"structure": structure, "projection_dim": projection_dim, "crosses": 2, "hidden": (6, 3)}
    model, scores, example = by_hand("dcn", embedding_dim=5, **hparams)
    both = np.hstack(example.vectors)
    assert both.shape == (2, 7 * 5)
    last = crossed(model, both, crosses=2)
    last = mlp_of(model, last) if structure == "stacked" else np.hstack([last, mlp_of(model, both)])
    kernel, bias = model.get_layer("output").get_weights()
    np.testing.assert_allclose(scores, (last @ kernel + bias)[:, 0], rtol=1e-3)


def test_without_cross_layers_it_is_an_mlp(by_hand):
    model, scores, example = by_hand("dcn", embedding_dim=5, crosses=0, hidden=(6, 3))
    kernel, bias = model.get_layer("output").get_weights()
    np.testing.assert_allclose(scores, (mlp_of(model, np.hstack(example.vectors)) @ kernel + bias)[:, 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"structure": "stack"}, "Did you mean 'stacked'"),
        ({"crosses": -1}, "crosses and projection_dim must be at least 0. Received: -1, 64"),
        ({"projection_dim": -2}, "Received: 2, -2"),
    ],
)
def test_structures_and_numbers_that_are_none_are_refused(hparams, message):
    with pytest.raises(UserError, match=message):
        zoo.build("dcn", **hparams)


def test_every_feature_counts(features_that_count):
    known = {"user", "age", "group", "device", "history", "history_rating", "title", "year", "genres"}
    assert features_that_count("dcn") == known
