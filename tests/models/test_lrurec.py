from __future__ import annotations

import numpy as np
from scipy.special import erf

import zoo
from zoo.schema import Schema

HISTORY = np.array([[0, 0, 2, 5, 3], [6, 4, 2, 4, 5]])


def normed(vector, gamma, beta):
    return (vector - vector.mean()) / np.sqrt(vector.var() + 1e-3) * gamma + beta


def test_a_score_is_what_a_plain_loop_over_the_events_gives():
    schema = Schema.of_ids(num_users=3, num_items=5, history_length=5)
    model = zoo.build("lrurec", schema, embedding_dim=4, num_blocks=1)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.7, weight.shape))
    weights = [weight.numpy().astype(float) for weight in model.trainable_weights]
    items, gamma, beta, enter, enter_bias, decay, angle, scale, leave, leave_bias = weights[:10]
    gamma_2, beta_2, hidden, hidden_bias, output, output_bias, gamma_3, beta_3, item_bias = weights[10:]
    factor = np.exp(-np.exp(decay) + 1j * np.exp(angle))
    found = model.score({"history": HISTORY}, np.tile(np.arange(2, 7), (2, 1)))
    for history, scores in zip(HISTORY, found, strict=True):
        state = np.zeros(8, complex)
        for event in items[history[history > 0]]:
            event = normed(event, gamma, beta)
            real, imaginary = np.split(event @ enter + enter_bias, 2)
            state = factor * state + np.exp(scale) * (real + 1j * imaginary)
        read = normed(event + np.concatenate([state.real, state.imag]) @ leave + leave_bias, gamma_2, beta_2)
        units = read @ hidden + hidden_bias
        units = units * (1 + erf(units / np.sqrt(2))) / 2
        expected = items @ normed(read + units @ output + output_bias, gamma_3, beta_3) + item_bias[:, 0]
        np.testing.assert_allclose(scores, expected[2:], rtol=1e-3, atol=1e-4)
