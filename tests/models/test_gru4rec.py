from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

import zoo
from zoo.schema import Schema

HISTORY = np.array([[0, 0, 2, 5, 3], [6, 4, 2, 4, 5]])


def states_after(events, kernel, recurrent, biases):
    """The states of a GRU (Cho et al., 2014) whose reset gate is applied after the product, written out."""
    state, states = np.zeros(len(recurrent)), []
    for event in events:
        keep, reset, new = np.split(event @ kernel + biases[0], 3)
        keep_of_state, reset_of_state, new_of_state = np.split(state @ recurrent + biases[1], 3)
        keep, reset = expit(keep + keep_of_state), expit(reset + reset_of_state)
        state = keep * state + (1 - keep) * np.tanh(new + reset * new_of_state)
        states.append(state)
    return np.stack(states)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_score_is_the_dot_product_with_what_the_last_state_predicts(num_layers):
    schema = Schema.of_ids(num_users=3, num_items=5, history_length=5)
    model = zoo.build("gru4rec", schema, embedding_dim=4, units=3, num_layers=num_layers)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    items, *recurrences, output, output_bias, item_bias = (weight.numpy() for weight in model.trainable_weights)
    found = model.score({"history": HISTORY}, np.tile(np.arange(2, 7), (2, 1)))
    for history, scores in zip(HISTORY, found, strict=True):
        events = items[history[history > 0]]
        for layer in range(num_layers):
            events = states_after(events, *recurrences[3 * layer : 3 * layer + 3])
        expected = items @ (events[-1] @ output + output_bias) + item_bias[:, 0]
        np.testing.assert_allclose(scores, expected[2:], rtol=1e-4, atol=1e-5)
