"""What is true of `dae`, `multvae` and `recvae`, which reconstruct what a user liked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import zoo
from zoo import memory
from zoo.errors import UserError
from zoo.schema import Schema

SCHEMA = Schema.of_ids(num_users=3, num_items=4, history_length=5)
# The second user met the unknown item, disliked item 3 and liked item 4 twice; the third liked nothing.
HISTORY = np.array([[0, 0, 2, 5, 3], [1, 4, 2, 4, 3], [0, 0, 0, 0, 2]])
RATING = np.array([[0, 0, 1, 0.4, 0.2], [1, 0.5, 1, 0.5, -1], [0, 0, 0, 0, -1]], np.float32)
QUERY = {"history": HISTORY, "history_rating": RATING}
# Columns of padding and of the unknown item come first.
LIKED = np.array([[0, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]]) / np.sqrt([[3], [2], [1]])
ITEMS = np.tile(np.arange(2, 6), (3, 1))


def shaken(name, **hparams):
    """A model with weights far from zero, and its weights."""
    model = zoo.build(name, SCHEMA, **hparams)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return model, [weight.numpy() for weight in model.trainable_weights]


@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
def test_a_score_decodes_the_code_of_what_was_liked_at_unit_length(hidden):
    model, weights = shaken("dae", hidden=hidden, code=3)
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    # The layers of the decoder mirror those of the encoder.
    assert [kernel.shape[1] for kernel, _ in layers] == [*hidden, 3, *hidden[::-1], 6]
    units = LIKED
    for kernel, bias in layers[:-1]:
        units = np.tanh(units @ kernel + bias)
    kernel, bias = layers[-1]
    np.testing.assert_allclose(model.score(QUERY, ITEMS), (units @ kernel + bias)[:, 2:], rtol=1e-4, atol=1e-5)


def outputs(layers, inputs):
    """What dense layers by their kernels and biases make of the inputs."""
    return [inputs @ kernel + bias for kernel, bias in layers]


def test_multvae_decodes_the_mean_of_the_code():
    model, weights = shaken("multvae", hidden=(5,), code=3)
    by_shape = {}
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        by_shape.setdefault(kernel.shape, []).append((kernel, bias))
    (encoded,) = outputs(by_shape[6, 5], LIKED)
    codes = outputs(by_shape[5, 3], np.tanh(encoded))
    expected = [outputs(by_shape[5, 6], np.tanh(outputs(by_shape[3, 5], code)[0]))[0] for code in codes]
    _, divergence = model.latent_networks.decoder(model.latent_networks.encoder(QUERY), training=False)
    scores = model.score(QUERY, ITEMS)
    # Either head may have been made first, so that its weights come first.
    mean, log_variance = codes if np.allclose(scores, expected[0][:, 2:], rtol=1e-3, atol=1e-4) else codes[::-1]
    decoded = expected[0] if mean is codes[0] else expected[1]
    np.testing.assert_allclose(scores, decoded[:, 2:], rtol=1e-4, atol=1e-5)
    by_hand = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1)
    np.testing.assert_allclose(divergence, by_hand, rtol=1e-5)


def test_recvae_decodes_the_mean_and_diverges_from_its_mixture():
    model, _ = shaken("recvae", hidden=5, depth=2, code=3, prior=(0.2, 0.5, 0.3))
    networks = model.latent_networks
    mean, log_variance, _ = (np.asarray(part, np.float64) for part in networks.encoder(QUERY))
    logits, divergence = networks.decoder(networks.encoder(QUERY), training=False)
    networks.latent.renew()
    renewed = networks.decoder(networks.encoder(QUERY), training=False)[1]
    np.testing.assert_allclose(model.score(QUERY, ITEMS), np.asarray(logits)[:, 2:], rtol=1e-6)
    # After a renewal the old encoder says what the encoder says.
    deviation = np.exp(0.5 * log_variance)
    own = stats.norm.logpdf(mean, mean, deviation)
    parts = [stats.norm.logpdf(mean), own, stats.norm.logpdf(mean, 0, np.exp(5))]
    mixture = special.logsumexp(np.stack(parts, axis=-1), axis=-1, b=[0.2, 0.5, 0.3])
    np.testing.assert_allclose(renewed, (own - mixture).sum(axis=1), rtol=1e-4)
    assert not np.allclose(renewed, divergence)


@pytest.mark.parametrize("prior", [(0.5, 0.5, 0.1), (0.0, 0.5, 0.5), (1.5, -0.25, -0.25)])
def test_shares_of_the_prior_that_are_none_are_refused(prior):
    with pytest.raises(UserError, match=r"recvae: the shares in prior must be above 0 and add up to 1"):
        zoo.build("recvae", SCHEMA, prior=prior)


@pytest.mark.parametrize("name", ["multvae", "recvae"])
def test_the_code_is_drawn_in_training_and_never_at_serving(name):
    model, _ = shaken(name, **{**zoo.info(name).tiny, "dropout": 0.0})
    answers = {
        training: [model.encode_query(QUERY, training=training).numpy() for _ in range(2)] for training in (True, False)
    }
    assert not np.allclose(*answers[True])
    np.testing.assert_array_equal(*answers[False])
    drawn = [model.latent_networks.draw(QUERY, is_denoising=False)[0].numpy() for _ in range(2)]
    assert not np.allclose(*drawn)


@pytest.mark.parametrize("name", ["dae", "multvae", "recvae"])
def test_a_catalogue_too_large_is_refused_before_it_takes_memory(name, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**8)
    with pytest.raises(UserError, match=r"An autoencoder .* items .* Choose fewer units, .* e\.g\. ials or mf"):
        zoo.build(name, num_users=5, num_items=2_000_000)


@pytest.mark.parametrize("name", ["dae", "multvae", "recvae"])
def test_a_user_with_one_item_and_everything_excluded_gets_no_item(name):
    model, _ = shaken(name, **dict(zoo.info(name).tiny))
    query = {"history": np.array([[0, 0, 0, 0, 3]]), "history_rating": np.array([[0, 0, 0, 0, 1.0]])}
    items, scores = model.recommend(query, k=3)
    assert np.isfinite(scores).all()
    items, _ = model.recommend(query, k=3, exclude=[[2, 3, 4, 5]])
    assert items.tolist() == [[0, 0, 0]]
