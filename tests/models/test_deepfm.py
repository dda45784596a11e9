from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError


@pytest.mark.parametrize("hidden", [(6,), (6, 4)])
def test_a_score_is_that_of_a_factorization_machine_and_of_an_mlp_over_the_same_vectors(by_hand, hidden):
    model, scores, example = by_hand("deepfm", embedding_dim=5, hidden=hidden)
    machine = example.linear + sum((one * other).sum(axis=1) for one, other in combinations(example.vectors, 2))

    def weights(name):
        return model.get_layer(name).get_weights()

    (of_query, bias), (of_item,) = weights("mlp_query"), weights("mlp_item")
    units = np.maximum(np.hstack(example.vectors) @ np.vstack([of_query, of_item]) + bias, 0)
    for number in range(1, len(hidden)):
        kernel, bias = weights(f"mlp_{number}")
        units = np.maximum(units @ kernel + bias, 0)
    kernel, bias = weights("output")
    np.testing.assert_allclose(scores, machine + (units @ kernel + bias)[:, 0], rtol=1e-4)


def test_an_mlp_without_layers_is_refused():
    with pytest.raises(UserError, match="hidden"):
        zoo.build("deepfm", num_users=3, num_items=4, hidden=())


def test_every_feature_counts(features_that_count):
    known = {"user", "age", "group", "device", "history", "history_rating", "title", "year", "genres"}
    assert features_that_count("deepfm") == known
