"""The evidence lower bound by hand: its likelihood, and the weights of its divergence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.schema import FIRST_KNOWN

TINY = {"multvae": {"hidden": (5,), "code": 3}, "recvae": {"hidden": 5, "depth": 2, "code": 3}}


@pytest.fixture
def labelled(sequences_of):
    """Labels of 0 and 1, of users with at least one of each kind and of one with one item."""
    return sequences_of([6, 3, 5, 1], 6, labels=[0, 1])


def objective_of(model, data, name="elbo", **options):
    return make_objective(name, model, data, options)


def likings(data):
    """The items with a label above 0 of every user who has any event, in the order of the objective's examples."""
    train = data.part("train")
    users = np.unique(train["user"])
    return [train["item"][(train["user"] == user) & (train["label"] > 0)].to_numpy() for user in users]


def undrawn(objective, monkeypatch):
    """Takes the latent variable's mean, so that the loss is a number; gives the logits and divergences of all users."""
    networks = objective._networks

    def draw(query, is_denoising=True):
        return networks.decoder(networks.encoder(query, training=False), training=False)

    monkeypatch.setattr(type(networks), "draw", lambda self, *given: draw(*given))
    users = tf.range(objective.num_examples)
    query = objective._events.query(tf.gather(objective._ends, users), tf.gather(objective._users, users))
    return [part.numpy().astype(np.float64) for part in draw(query)]


@pytest.mark.parametrize("passes", [0.0, 0.5, 2.0, 7.0])
def test_it_is_the_likelihood_minus_the_annealed_divergence(passes, labelled, shaken, batch_of, monkeypatch):
    objective = objective_of(shaken("multvae", labelled, **TINY["multvae"]), labelled, beta=0.4, anneal_epochs=4)
    logits, divergences = undrawn(objective, monkeypatch)
    weight = 0.4 * min(passes / 4, 1)
    expected = [
        weight * divergence - log_softmax(row[FIRST_KNOWN:])[liked - FIRST_KNOWN].sum()
        for row, divergence, liked in zip(logits, divergences, likings(labelled), strict=True)
        if len(liked)
    ]
    total, counts = objective.loss(dataclasses.replace(batch_of(np.arange(4)), passes=tf.constant(passes)))
    assert float(total) == pytest.approx(sum(expected), rel=1e-5)
    assert float(counts) == len(expected)


def test_without_annealing_the_cap_holds_from_the_first_step(labelled, batch_of):
    objective = objective_of(zoo.build("multvae", labelled.schema, **TINY["multvae"]), labelled, anneal_epochs=0)
    assert float(objective.divergence_weights(tf.ones(1), batch_of([0]))) == pytest.approx(0.2)


def test_a_users_divergence_weighs_by_what_the_user_liked(labelled, shaken, batch_of, monkeypatch):
    model = shaken("recvae", labelled, **TINY["recvae"])
    objective = objective_of(model, labelled, "alternating_elbo", gamma=0.01)
    # 0.01 for every liking: 3 of them weigh 0.03.
    weights = objective.divergence_weights(tf.constant([0.0, 1.0, 3.0]), batch_of([0]))
    np.testing.assert_allclose(weights, [0.0, 0.01, 0.03], rtol=1e-6)
    logits, divergences = undrawn(objective, monkeypatch)
    expected = [
        0.01 * len(liked) * divergence - log_softmax(row[FIRST_KNOWN:])[liked - FIRST_KNOWN].sum()
        for row, divergence, liked in zip(logits, divergences, likings(labelled), strict=True)
    ]
    total, _ = objective.loss(dataclasses.replace(batch_of(np.arange(4)), phase=objective.begin_epoch(0)))
    assert float(total) == pytest.approx(sum(expected), rel=1e-5)


def test_encoder_and_decoder_take_turns_and_share_no_weight(labelled):
    model = zoo.build("recvae", labelled.schema, **TINY["recvae"])
    objective = objective_of(model, labelled, "alternating_elbo", encoder_epochs=2, decoder_epochs=1)
    phases = [objective.begin_epoch(number) for number in range(6)]
    assert phases == ["encoder", "encoder", "decoder"] * 2
    by_phase = {phase: {id(one) for one in objective.trained_weights(phase)} for phase in phases}
    assert not by_phase["encoder"] & by_phase["decoder"]
    assert by_phase["encoder"] | by_phase["decoder"] == {id(one) for one in model.trainable_variables}
    # The decoder of the paper is one dense layer.
    assert {one.shape[-1] for one in objective.trained_weights("decoder")} == {model.num_items}
    assert [objective.is_denoising(phase) for phase in ("encoder", "decoder")] == [True, False]


def test_the_old_encoder_is_renewed_before_the_decoder_and_is_part_of_the_state(labelled):
    model = zoo.build("recvae", labelled.schema, **TINY["recvae"])
    objective = objective_of(model, labelled, "alternating_elbo", encoder_epochs=1)
    old = [one for one in objective.state if "seed" not in one.path]
    encoder = objective.trained_weights("encoder")
    assert len(old) == len(encoder)
    assert not {id(one) for one in old} & {id(one) for one in model.variables}
    before = [one.numpy() for one in old]
    objective.begin_epoch(0)
    for one, value in zip(old, before, strict=True):
        np.testing.assert_array_equal(one, value)
    for one in encoder:
        one.assign(one + 1)
    objective.begin_epoch(1)
    # The two heads are of one shape, and either may come first.
    assert {one.numpy().tobytes() for one in old} == {trained.numpy().tobytes() for trained in encoder}


@pytest.mark.parametrize("name", ["multvae", "recvae", "dae"])
def test_the_loss_is_finite_when_everything_is_hidden(name, sequences_of, loss_of):
    # Users with one item, of which nearly every one is hidden from the encoder.
    data = sequences_of([1] * 6, 1)
    hparams = {**TINY.get(name, {"code": 3}), "dropout": 0.999}
    model = zoo.build(name, data.schema, **hparams)
    assert np.isfinite(loss_of(make_objective(zoo.info(name).objective, model, data, {})))


@pytest.mark.parametrize("name", ["elbo", "alternating_elbo", "reconstruction"])
def test_data_in_which_nobody_liked_anything_is_refused(name, sequences_of):
    data = sequences_of([3, 2], 5, labels=[0])
    model = zoo.build("multvae", data.schema, **TINY["multvae"])
    with pytest.raises(UserError, match=r"nothing to reconstruct. Check data.label_threshold"):
        make_objective(name, model, data, {})


def test_an_architecture_without_a_latent_variable_is_refused(labelled):
    with pytest.raises(UserError, match="needs an architecture with a latent variable, and 'dae' has none"):
        objective_of(zoo.build("dae", labelled.schema, code=3), labelled)


@pytest.mark.parametrize(
    ("name", "option", "least"),
    [
        ("elbo", "beta", 0),
        ("elbo", "anneal_epochs", 0),
        ("alternating_elbo", "gamma", 0),
        ("alternating_elbo", "encoder_epochs", 1),
        ("alternating_elbo", "decoder_epochs", 1),
    ],
)
def test_options_below_their_least_value_are_refused(name, option, least, labelled):
    model = zoo.build("recvae", labelled.schema, **TINY["recvae"])
    with pytest.raises(UserError, match=f"{option} must be at least {least}"):
        objective_of(model, labelled, name, **{option: least - 1})
