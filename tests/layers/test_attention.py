from __future__ import annotations

import keras
import numpy as np
import pytest
from drawn import normal, shaken
from scipy.special import erf, expit, softmax

from zoo.errors import UserError
from zoo.layers import GatedBlock, PositionEmbedding, SelfAttention, TransformerBlock
from zoo.layers.attention import visible

EXISTS = np.array([[True, True, True, True], [False, False, True, True], [False, False, False, False]])


def normed(events, norm):
    """What a layer norm makes of vectors, written out."""
    gamma, beta = (weight.numpy() for weight in norm.weights)
    mean, variance = events.mean(axis=-1, keepdims=True), events.var(axis=-1, keepdims=True)
    return (events - mean) / np.sqrt(variance + 1e-6) * gamma + beta


# What sees what


def test_an_event_sees_itself_and_what_came_before_it_but_no_padding():
    seen = np.asarray(visible(EXISTS, is_causal=True))
    for row, exists in enumerate(EXISTS):
        for event in range(4):
            assert seen[row, 0, event].tolist() == [bool(exists[other]) and other <= event for other in range(4)]


def test_without_an_order_an_event_sees_all_that_exist():
    seen = np.asarray(visible(EXISTS, is_causal=False))
    for row, exists in enumerate(EXISTS):
        assert (seen[row, 0] == exists).all()


# Positions


def test_places_are_counted_from_the_end():
    layer, events = PositionEmbedding(5, scale=2.0), normal(2, 3, 4)
    added = shaken(layer, events) - 2 * events
    np.testing.assert_allclose(added, np.tile(layer.embeddings.numpy()[2:], (2, 1, 1)), atol=1e-5)


# Attention


@pytest.mark.parametrize("num_heads", [1, 2, 4])
@pytest.mark.parametrize("is_causal", [True, False])
def test_attention_is_that_of_keras(num_heads, is_causal):
    events, layer = normal(3, 4, 8), SelfAttention(num_heads, is_causal=is_causal)
    found = shaken(layer, events, EXISTS)
    theirs = keras.layers.MultiHeadAttention(num_heads, 8 // num_heads)
    mask = np.asarray(visible(EXISTS, is_causal))[:, 0]
    theirs(events, events, attention_mask=mask)
    kernel, bias, join, join_bias = (weight.numpy() for weight in layer.weights)
    weights = []
    for part in range(3):
        columns = slice(8 * part, 8 * part + 8)
        weights += [kernel[:, columns].reshape(8, num_heads, -1), bias[columns].reshape(num_heads, -1)]
    # Keras has queries, keys and values in this order, each with its bias.
    theirs.set_weights([*weights, join.reshape(num_heads, -1, 8), join_bias])
    expected = theirs(events, events, attention_mask=mask).numpy()
    np.testing.assert_allclose(found[EXISTS], expected[EXISTS], rtol=1e-4, atol=1e-4)


def test_events_that_see_nothing_have_numbers():
    assert np.isfinite(shaken(SelfAttention(2), normal(3, 4, 8), np.zeros((3, 4), bool))).all()


def test_dropped_weights_are_dropped_in_training_only():
    events, layer = normal(3, 4, 8), SelfAttention(2, dropout=0.5)
    before = shaken(layer, events, EXISTS)
    np.testing.assert_array_equal(layer(events, EXISTS).numpy(), before)
    assert not np.allclose(layer(events, EXISTS, training=True).numpy()[0], before[0])


@pytest.mark.parametrize("num_heads", [0, 3])
def test_heads_that_do_not_divide_the_width_are_refused(num_heads):
    with pytest.raises(UserError, match=rf"num_heads .* divide the width 8 .*Received: {num_heads}"):
        SelfAttention(num_heads)(normal(1, 2, 8), np.ones((1, 2), bool))


# Blocks


def attended(events, layer):
    """Causal attention of one head to one history without padding, written out."""
    kernel, bias, join, join_bias = (weight.numpy() for weight in layer.weights)
    queries, keys, values = np.split(events @ kernel + bias, 3, axis=-1)
    rows = []
    for place in range(len(events)):
        weights = softmax(keys[: place + 1] @ queries[place] / np.sqrt(events.shape[-1]))
        rows.append(weights @ values[: place + 1] @ join + join_bias)
    return np.stack(rows)


def gelu(values):
    return values * (1 + erf(values / np.sqrt(2))) / 2


@pytest.mark.parametrize("is_normed_first", [True, False])
@pytest.mark.parametrize(("activation", "function"), [("relu", lambda x: np.maximum(x, 0)), ("gelu", gelu)])
def test_a_block_is_attention_and_a_network_with_residuals(is_normed_first, activation, function):
    events = normal(1, 4, 3)
    block = TransformerBlock(1, 5, activation=activation, is_normed_first=is_normed_first)
    found = shaken(block, events, np.ones((1, 4), bool))[0]
    hidden, hidden_bias = (weight.numpy() for weight in block._hidden.weights)
    output, output_bias = (weight.numpy() for weight in block._output.weights)

    def network(rows):
        return function(rows @ hidden + hidden_bias) @ output + output_bias

    first, second = block._norms
    expected = events[0]
    if is_normed_first:
        expected = expected + attended(normed(expected, first), block._attention)
        expected = expected + network(normed(expected, second))
    else:
        expected = normed(expected + attended(expected, block._attention), first)
        expected = normed(expected + network(expected), second)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_gates_of_a_gated_block_read_what_comes_in():
    events, block = normal(1, 4, 3), GatedBlock(1, 5)
    found = shaken(block, events, np.ones((1, 4), bool))[0]
    gates = [[weight.numpy() for weight in gate.weights] for gate in block._gates]
    (hidden,), (output,) = ([weight.numpy() for weight in part.weights] for part in (block._hidden, block._output))
    expected = events[0]
    expected = expected + expit(expected @ gates[0][0] + gates[0][1]) * attended(
        normed(expected, block._norms[0]), block._attention
    )
    passed, gate = np.split(normed(expected, block._norms[1]) @ hidden, 2, axis=-1)
    rewritten = (gate * expit(gate) * passed) @ output
    expected = expected + expit(expected @ gates[1][0] + gates[1][1]) * rewritten
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
