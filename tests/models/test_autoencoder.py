from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError
from zoo.schema import Schema

SCHEMA = Schema.of_ids(num_users=3, num_items=4, history_length=5)
HISTORY = np.array([[0, 0, 2, 5, 3], [1, 4, 2, 4, 5], [0, 0, 0, 0, 0]])
RATING = np.array([[0, 0, 1, 0.4, -0.2], [1, 0.5, 1, 0.5, 1], [0, 0, 0, 0, 0]], np.float32)
QUERY = {"history": HISTORY, "history_rating": RATING}
ITEMS = np.tile(np.arange(2, 6), (3, 1))


def shaken(**hparams):
    """An autoencoder with weights far from zero, and its weights."""
    model = zoo.build("autoencoder", SCHEMA, hidden=3, **hparams)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return model, [weight.numpy() for weight in model.trainable_weights]


@pytest.mark.parametrize(
    ("activation", "function"), [("tanh", np.tanh), ("sigmoid", lambda values: 1 / (1 + np.exp(-values)))]
)
def test_a_score_decodes_the_code_of_the_ratings_at_unit_length(activation, function):
    model, (encoder, encoder_bias, decoder, decoder_bias) = shaken(activation=activation)
    # The unknown item does not count, and what an item listed twice was rated adds up.
    ratings = np.array([[0, 0, 1, -0.2, 0, 0.4], [0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]])
    ratings /= np.maximum(np.linalg.norm(ratings, axis=1, keepdims=True), 1e-9)
    expected = function(ratings @ encoder + encoder_bias) @ decoder + decoder_bias
    np.testing.assert_allclose(model.score(QUERY, ITEMS), expected[:, 2:], rtol=1e-4)


def test_dropout_hides_interactions_in_training_only():
    model, _ = shaken(dropout=0.5)
    many = {name: np.repeat(values[:1], 50, axis=0) for name, values in QUERY.items()}
    answers = {training: model.encode_query(many, training=training).numpy().round(4) for training in (False, True)}
    assert len(np.unique(answers[False], axis=0)) == 1
    # Each of three interactions is there or not.
    assert 1 < len(np.unique(answers[True], axis=0)) <= 8


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(dropout):
    with pytest.raises(UserError, match=rf"dropout must be at least 0 and below 1\. Received: {dropout}"):
        zoo.build("autoencoder", SCHEMA, dropout=dropout)
