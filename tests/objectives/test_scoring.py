from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.objectives.scoring import score

FAMILIES = ["mf", "ncf", "autoencoder"]


@pytest.fixture
def asked(datasets, shaken, request):
    """A model, a query, and items."""
    data = datasets["features"]
    name = request.param
    model = shaken(name, data, **({"dropout": 0.0} if name == "autoencoder" else {}))
    model.set_rating_scale(3.0, 2.0)
    users = np.array([2, 5, 9, 3])
    query = {name: tf.constant(value) for name, value in data.queries(model.query_names, users, "train").items()}
    rng = np.random.default_rng(0)
    return model, query, rng.integers(2, data.num_items, (4, 3)).astype(np.int32)


@pytest.mark.parametrize("asked", FAMILIES, indirect=True)
def test_shared_items_get_the_scores_they_would_get_one_by_one(asked):
    model, query, own = asked
    shared = np.array([7, 2, 7, 11, 30], np.int32)
    expected = model.score(query, np.tile(shared, (4, 1)))
    np.testing.assert_allclose(model.score_shared(query, tf.constant(shared)), expected, rtol=1e-4, atol=1e-5)
    both = model.score_shared(query, tf.constant(shared), tf.constant(own))
    np.testing.assert_allclose(both, np.hstack([model.score(query, own), expected]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("asked", FAMILIES, indirect=True)
def test_positives_and_negatives_get_their_scores(asked):
    model, query, items = asked
    expected = model.score(query, items)
    found = score(model, query, tf.constant(items[:, 0]), tf.constant(items[:, 1:]))
    np.testing.assert_allclose(found.positive, expected[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.negative, expected[:, 1:], rtol=1e-4, atol=1e-5)
    shared = score(model, query, tf.constant(items[:, 0]), tf.constant(items[0]))
    np.testing.assert_allclose(shared.positive, expected[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shared.negative, model.score(query, np.tile(items[0], (4, 1))), rtol=1e-4, atol=1e-5)
