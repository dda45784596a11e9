from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.objectives.contrastive_bpr import info_nce
from zoo.training.fitting import interaction_matrix


@pytest.fixture
def compared(sequences_of, shaken):
    """Data, and a model on them without noise."""
    data = sequences_of([4, 3, 5], 5)
    model = shaken("xsimgcl", data, embedding_dim=3, noise=0.0)
    model.adapt(interactions=lambda: interaction_matrix(data))
    return data, model


def test_info_nce_is_the_cross_entropy_of_cosines():
    vectors, views = np.array([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 5.0], [-1.0, 0.0]])
    half = 0.5**0.5
    cosines = np.array([[half, 0, -1], [half, 1, 0], [1, half, -half]])
    powers = np.exp(cosines / 0.5)
    expected = -np.log(np.diag(powers) / powers.sum(axis=1))
    losses = info_nce(tf.constant(vectors, tf.float32), tf.constant(views, tf.float32), temperature=0.5)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_the_loss_is_bpr_and_the_contrast_of_the_different_users_and_items(compared, batch_of, loss_of):
    data, model = compared
    options = {"weight": 0.7, "temperature": 0.5, "negatives": 2}
    objective, plain = (
        make_objective("contrastive_bpr", model, data, options),
        make_objective("bpr", model, data, {"negatives": 2}),
    )
    events = objective._at(batch_of(np.arange(12)).examples)
    users, items = (np.unique(values.numpy()) for values in (events.users, events.items))
    query = {"user": users, "history": np.zeros((3, 5), int), "history_rating": np.zeros((3, 5))}
    contrast = sum(
        np.mean(info_nce(*views, 0.5))
        for views in (model.view_queries(query, training=True), model.view_items(items, training=True))
    )
    assert loss_of(objective) == pytest.approx(loss_of(plain) + 0.7 * contrast, rel=1e-5)


def test_a_model_of_one_view_and_options_out_of_range_are_refused(compared):
    data, model = compared
    with pytest.raises(UserError, match=r"needs an architecture with two views .* 'mf' has one"):
        make_objective("contrastive_bpr", zoo.build("mf", data.schema), data, {})
    with pytest.raises(UserError, match=r"temperature must be above 0\. Received: 0"):
        make_objective("contrastive_bpr", model, data, {"temperature": 0.0})
    with pytest.raises(UserError, match=r"weight must be at least 0\. Received: -1"):
        make_objective("contrastive_bpr", model, data, {"weight": -1.0})
