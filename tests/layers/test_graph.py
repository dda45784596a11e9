from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csr_matrix, random

from zoo.errors import UserError
from zoo.layers import Edges, LikedGraph, Noise, RatingGraph, each_once
from zoo.layers.graph import OnceAGraph
from zoo.schema import Schema


@pytest.fixture
def matrix():
    """A sparse matrix with rows and columns in which nothing is stored."""
    matrix = random(7, 9, density=0.3, format="csr", random_state=0, dtype=np.float32)
    matrix.data[:] = 1
    dense = matrix.toarray()
    dense[[0, 6]] = 0
    dense[:, [1, 8]] = 0
    return csr_matrix(dense)


def test_sums_along_edges_are_products_with_the_matrix(matrix):
    edges, rng = Edges(matrix), np.random.default_rng(0)
    columns, rows = rng.normal(size=(9, 4)).astype("float32"), rng.normal(size=(7, 4)).astype("float32")
    np.testing.assert_allclose(edges.to_rows(columns), matrix @ columns, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(edges.to_columns(rows), matrix.T @ rows, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_sum_is_the_sum_along_the_reverse(matrix):
    edges, weights = Edges(matrix), np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    columns = tf.Variable(np.ones((9, 4), np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * edges.to_rows(columns))
    np.testing.assert_allclose(tape.gradient(total, columns), matrix.T @ weights, rtol=1e-5, atol=1e-6)


def test_messages_are_normalized_on_both_sides_and_isolated_nodes_receive_zeros(matrix):
    graph = LikedGraph(7, 9)
    graph.adapt(matrix * 5)
    dense = matrix.toarray()
    degrees = [np.maximum(dense.sum(axis=axis, keepdims=True), 1) for axis in (0, 1)]
    expected = dense / np.sqrt(degrees[0]) / np.sqrt(degrees[1])
    received = graph.to_users(tf.eye(9)).numpy()
    np.testing.assert_allclose(received, expected, rtol=1e-5)
    np.testing.assert_allclose(graph.to_items(tf.eye(7)).numpy(), expected.T, rtol=1e-5)
    assert not received[[0, 6]].any()


def test_a_graph_without_edges_passes_nothing_on():
    graph = LikedGraph(3, 4)
    assert not graph.to_users(tf.ones((4, 2))).numpy().any()
    assert graph.to_items(tf.ones((3, 2))).shape == (4, 2)


def test_a_value_is_computed_once_in_a_graph_and_its_gradient_is_whole():
    calls, variable = [], tf.Variable(3.0)

    def square():
        calls.append(1)
        return [variable * variable]

    once = OnceAGraph(square)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = once()[0] + 2 * once()[0]
        return tape.gradient(loss, variable)

    assert float(step()) == 18.0
    variable.assign(1.0)
    assert float(step()) == 6.0
    assert len(calls) == 1
    assert float(once()[0] + once()[0]) == 2.0
    assert len(calls) == 3


@pytest.mark.parametrize("length", [3, 300])
def test_an_item_counts_once_however_often_a_history_has_it(length):
    import keras

    schema = Schema.of_ids(num_users=3, num_items=5, history_length=length)
    model = keras.Model(schema.input("history"), each_once(schema))
    history = np.zeros((1, length), np.int32)
    history[0, -3:] = [4, 1, 4]
    assert model(history).numpy()[0, -3:].tolist() == [0.5, 0.0, 0.5]


def test_noise_has_its_length_and_stays_in_the_orthant():
    vectors = np.array([[0.3, -2.0, 1.0], [-1.0, -1.0, 0.0]], np.float32)
    layer = Noise(0.25)
    added = layer(vectors, training=True).numpy() - vectors
    assert (np.sign(added) * np.sign(vectors) >= 0).all()
    assert np.linalg.norm(added[0]) == pytest.approx(0.25, rel=1e-5)
    assert added[1, 2] == 0
    assert not np.allclose(layer(vectors, training=True) - vectors, added)
    np.testing.assert_array_equal(layer(vectors, training=False), vectors)


# RatingGraph


def test_levels_are_those_of_the_training_data_holes_and_half_stars_included():
    graph = RatingGraph(3, 4, most_levels=5)
    graph.adapt(csr_matrix(([0.5, 4.5, 3.0], ([0, 1, 2], [1, 1, 3])), shape=(3, 4)))
    assert graph.values.numpy().tolist() == [0.5, 3.0, 4.5, 0.0, 0.0]
    assert graph.is_level.numpy().tolist() == [1, 1, 1, 0, 0]
    ratings = np.array([-7.0, 0.5, 1.7, 1.8, 3.0, 4.5, 9.0], np.float32)
    assert graph.levels_of(ratings).numpy().argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert (graph.levels_of(ratings).numpy().sum(axis=1) == 1).all()


def test_more_levels_than_there_is_room_for_are_refused():
    graph = RatingGraph(3, 4, most_levels=2)
    with pytest.raises(UserError, match=r"3 different ratings, and there is room for 2 levels\. Set hparams\.most_le"):
        graph.adapt(csr_matrix(([1.0, 2.0, 3.0], ([0, 1, 2], [1, 1, 3])), shape=(3, 4)))


def test_a_user_receives_the_mean_of_what_items_send_at_the_level_of_the_rating():
    graph = RatingGraph(3, 4, most_levels=2)
    graph.adapt(csr_matrix(([1.0, 4.0, 4.0], ([2, 2, 1], [2, 3, 3])), shape=(3, 4)))
    sent = np.arange(16, dtype=np.float32).reshape(4, 4)
    received = graph.to_users(tf.constant(sent)).numpy()
    # User 2 rated item 2 at the first level and item 3 at the second, whose messages are two numbers each.
    np.testing.assert_allclose(received, [[0, 0, 0, 0], [0, 0, 14, 15], [4, 4.5, 7, 7.5]])
