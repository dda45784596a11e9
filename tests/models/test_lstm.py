from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError
from zoo.schema import Schema

HISTORY = np.array([[0, 0, 2, 5, 3], [6, 4, 2, 4, 5], [0, 0, 0, 0, 3]])


def shaken(length=5, **hparams):
    """An LSTM with weights far from zero, and its weights."""
    schema = Schema.of_ids(num_users=3, num_items=5, history_length=length)
    model = zoo.build("lstm", schema, embedding_dim=4, units=3, **hparams)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return model, [weight.numpy() for weight in model.trainable_weights]


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def state_after(events, kernel, recurrent, bias):
    """The state of an LSTM (Hochreiter and Schmidhuber, 1997) after `[length, dim]` events, written out."""
    state = cell = np.zeros(len(recurrent))
    for event in events:
        gates = event @ kernel + state @ recurrent + bias
        let_in, keep, new, let_out = np.split(gates, 4)
        cell = sigmoid(keep) * cell + sigmoid(let_in) * np.tanh(new)
        state = sigmoid(let_out) * np.tanh(cell)
    return state


def test_a_score_is_the_dot_product_with_what_the_state_after_the_last_event_predicts():
    model, (items, kernel, recurrent, bias, output, output_bias, item_bias) = shaken()
    found = model.score({"history": HISTORY}, np.tile(np.arange(2, 7), (3, 1)))
    for history, scores in zip(HISTORY, found, strict=True):
        state = state_after(items[history[history > 0]], kernel, recurrent, bias)
        expected = items @ (state @ output + output_bias) + item_bias[:, 0]
        np.testing.assert_allclose(scores, expected[2:], rtol=1e-4, atol=1e-5)


def test_how_much_padding_there_is_does_not_count():
    (model, _), (longer, _) = shaken(), shaken(length=9)
    padded = np.pad(HISTORY, [(0, 0), (4, 0)])
    items = np.tile(np.arange(2, 7), (3, 1))
    found = longer.score({"history": padded}, items)
    np.testing.assert_allclose(found, model.score({"history": HISTORY}, items), rtol=1e-5)


def test_the_order_of_a_history_counts():
    model, _ = shaken()
    there, back = model.encode_query({"history": HISTORY[1:2]}), model.encode_query({"history": HISTORY[1:2, ::-1]})
    assert not np.allclose(there, back, atol=1e-3)


def test_a_position_knows_what_came_before_it_and_nothing_after():
    model, _ = shaken()
    positions = model.encode_positions({"history": HISTORY[1:2]}).numpy()[0]
    for number in range(1, 6):
        cut = np.pad(HISTORY[1:2, :number], [(0, 0), (5 - number, 0)])
        query = model.encode_query({"history": cut}).numpy()[0]
        np.testing.assert_allclose(positions[number - 1], query, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(dropout):
    with pytest.raises(UserError, match=rf"dropout must be at least 0 and below 1\. Received: {dropout}"):
        shaken(dropout=dropout)
