from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras import ops

import zoo
from zoo.errors import UserError
from zoo.layers import (
    CatalogueRows,
    CoPropagation,
    Dropout,
    Embedding,
    FeatureNodes,
    HistoryPooling,
    MultiHot,
    Weighted,
    data_layers,
    joined_mlp,
    mlp,
    unit_length,
)
from zoo.schema import Feature, Schema


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Embedding


def test_padding_and_unknown_start_as_zeros_and_known_rows_do_not():
    table = Embedding(2000, 8, stddev=0.5)
    table.build()
    rows = np.asarray(table.embeddings)
    assert not rows[:2].any()
    assert rows[2:].any(axis=1).all()
    assert rows[2:].std() == pytest.approx(0.5, rel=0.05)


def test_a_table_without_known_rows_is_all_zeros():
    table = Embedding(2, 3)
    table.build()
    assert not np.asarray(table.embeddings).any()


# MultiHot


def naive_multi_hot(items, values, size):
    hot = np.zeros((len(items), size), np.float32)
    for row in range(len(items)):
        for item, value in zip(items[row], values[row], strict=True):
            if item >= 2:
                hot[row, item] += value
    return hot


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(np.int32, (3, 5), elements=st.integers(0, 7)),
    arrays.arrays(np.float32, (3, 5), elements=st.integers(-4, 4)),
)
def test_a_list_of_items_becomes_a_vector_over_the_catalogue(items, values):
    hot = MultiHot(8)(ops.convert_to_tensor(items), ops.convert_to_tensor(values))
    np.testing.assert_array_equal(hot, naive_multi_hot(items, values, 8))


def test_an_item_listed_twice_adds_up_and_padding_does_not_count():
    items = np.array([[0, 0, 3, 3, 4], [0, 0, 0, 0, 1]], np.int32)
    values = np.array([[9, 9, 1, 2, 5], [9, 9, 9, 9, 7]], np.float32)
    hot = MultiHot(6)(ops.convert_to_tensor(items), ops.convert_to_tensor(values))
    assert np.asarray(hot).tolist() == [[0, 0, 0, 3, 5, 0], [0, 0, 0, 0, 0, 0]]


# CatalogueRows


def test_item_features_come_from_the_catalogue_and_are_not_trained():
    rows = CatalogueRows(4, Feature("title", "item", "text", 3))
    values = normal(4, 3)
    rows.rows.assign(values)
    np.testing.assert_array_equal(rows(np.array([2, 0])), values[[2, 0]])
    assert rows.trainable_weights == []
    assert len(rows.weights) == 1


def test_adapt_fills_the_rows_of_every_item_feature(datasets):
    data = datasets["text"]
    model = zoo.build("elcorec", data.schema, **zoo.info("elcorec").tiny)
    layers = [layer for layer in data_layers(model) if isinstance(layer, CatalogueRows)]
    assert {layer.feature_name for layer in layers} == {feature.name for feature in data.schema.side_features("item")}
    assert not any(np.asarray(layer.rows).any() for layer in layers)
    model.adapt(items=data.items)
    for layer in layers:
        np.testing.assert_allclose(layer.rows, data.items[layer.feature_name])
        assert layer.rows.shape[0] == data.num_items


# CoPropagation


def test_no_rounds_leave_the_nodes_as_they_are():
    numeric, categorical = normal(2, 3, 4), normal(2, 5, 4, seed=1)
    layer = CoPropagation(0)
    got = layer(numeric, categorical)
    np.testing.assert_array_equal(got[0], numeric)
    np.testing.assert_array_equal(got[1], categorical)
    assert layer.weights == []


@pytest.mark.parametrize(("num_numeric", "num_categorical"), [(1, 1), (1, 4), (3, 1), (2, 3)])
def test_propagation_keeps_the_shapes(num_numeric, num_categorical):
    numeric, categorical = CoPropagation(2)(normal(5, num_numeric, 4), normal(5, num_categorical, 4))
    assert numeric.shape == (5, num_numeric, 4)
    assert categorical.shape == (5, num_categorical, 4)


def test_a_message_passes_between_the_kinds_and_not_between_examples():
    numeric, categorical = normal(3, 2, 4), normal(3, 2, 4, seed=1)
    layer = CoPropagation(1)
    before = layer(numeric, categorical)
    other = categorical.copy()
    other[1] += 1
    after = layer(numeric, other)
    changed = np.abs(np.asarray(after[0]) - np.asarray(before[0])).max(axis=(1, 2)) > 1e-6
    assert changed.tolist() == [False, True, False]


def naive_message(message, nodes, others):
    """One round of one kind for one example, a node at a time."""
    kernels = {name: np.asarray(getattr(message, name).kernel) for name in ("query", "key", "value", "gate")}
    result = []
    for node in nodes:
        attended = [node, *others]
        query = node @ kernels["query"] / np.sqrt(len(node))
        weights = np.exp([query @ (one @ kernels["key"]) for one in attended])
        weights /= weights.sum()
        taken_in = sum(w * (one @ kernels["value"]) for w, one in zip(weights, attended, strict=True))
        gate = 1 / (1 + np.exp(-np.concatenate([node, taken_in]) @ kernels["gate"]))
        mixed = node + gate * taken_in
        result.append((mixed - mixed.mean()) / np.sqrt(mixed.var() + message.norm.epsilon))
    return np.array(result)


def test_a_round_is_gated_attention_to_itself_and_the_other_kind():
    numeric, categorical = normal(1, 2, 4), normal(1, 3, 4, seed=1)
    layer = CoPropagation(1)
    got = layer(numeric, categorical)
    to_numeric, to_categorical = layer.steps[0]
    np.testing.assert_allclose(got[0][0], naive_message(to_numeric, numeric[0], categorical[0]), atol=1e-5)
    np.testing.assert_allclose(got[1][0], naive_message(to_categorical, categorical[0], numeric[0]), atol=1e-5)


# HistoryPooling


def test_an_empty_history_pools_to_zeros():
    pooled = HistoryPooling()(normal(2, 4, 3), np.zeros((2, 4), np.int32), np.zeros((2, 4), np.float32))
    assert np.asarray(pooled).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_equal_ratings_pool_to_the_plain_mean_of_what_was_seen():
    vectors = normal(2, 4, 3)
    items = np.array([[0, 0, 5, 6], [2, 3, 4, 5]], np.int32)
    ratings = np.where(items != 0, 0.6, 0).astype(np.float32)
    pooled = HistoryPooling()(vectors, items, ratings)
    np.testing.assert_allclose(pooled, [vectors[0, 2:].mean(axis=0), vectors[1].mean(axis=0)], atol=1e-6)


def test_a_rating_weighs_as_the_exponential_of_a_squashed_line():
    layer = HistoryPooling()
    vectors, items = normal(1, 2, 3), np.array([[2, 3]], np.int32)
    ratings = np.array([[1.0, 0.2]], np.float32)
    layer(vectors, items, ratings)
    layer.weigh.kernel.assign([[2.0]])
    layer.weigh.bias.assign([-0.5])
    pooled = layer(vectors, items, ratings)
    weights = np.exp(np.tanh(2.0 * ratings[0] - 0.5))
    np.testing.assert_allclose(pooled[0], weights @ vectors[0] / weights.sum(), atol=1e-6)


# Features


def test_every_feature_becomes_one_node_of_its_kind(datasets):
    schema = Schema(datasets["text"].schema)
    nodes = FeatureNodes(schema, ("item",), 4)
    kinds = [feature.kind for feature in schema.role("item")]
    assert len(nodes.numeric) == kinds.count("numeric") > 0
    assert len(nodes.text) == kinds.count("text") > 0
    assert len(nodes.categorical) == kinds.count("categorical") + kinds.count("id") > 1
    assert all(node.shape == (None, 4) for node in (*nodes.numeric, *nodes.text, *nodes.categorical))


def test_a_multi_valued_category_is_the_mean_of_its_values():

    schema = Schema([Feature("tags", "user", "categorical", 5, length=3)])
    (node,) = FeatureNodes(schema, ("user",), 2).categorical
    model = keras.Model(schema.input("tags"), node)
    table = model.get_weights()[0]
    got = np.asarray(model(np.array([[2, 4, 0], [3, 0, 0], [0, 0, 0]], np.int32)))
    np.testing.assert_allclose(got, [table[[2, 4]].mean(axis=0), table[3], np.zeros(2)], atol=1e-6)


# mlp


def test_an_mlp_has_one_dense_layer_for_each_width():

    inputs = keras.Input((3,))
    model = keras.Model(inputs, mlp(inputs, (5, 2)))
    values = normal(4, 3)
    first, first_bias, second, second_bias = model.get_weights()
    hidden = np.maximum(values @ first + first_bias, 0)
    np.testing.assert_allclose(model(values), np.maximum(hidden @ second + second_bias, 0), atol=1e-6)
    assert mlp(inputs, ()) is inputs


@pytest.mark.parametrize("hidden", [(5,), (5, 2)])
def test_a_joined_mlp_is_one_over_both_vectors_side_by_side(hidden):
    query, item = keras.Input((3,)), keras.Input((4,))
    of_query, of_item, units = joined_mlp(query, item, hidden)
    model = keras.Model([query, item], [of_query, of_item, units])
    queries, items = normal(6, 3), normal(6, 4, seed=1)
    by_query, bias = model.get_layer("mlp_query").get_weights()
    (by_item,) = model.get_layer("mlp_item").get_weights()
    expected = np.maximum(np.hstack([queries, items]) @ np.vstack([by_query, by_item]) + bias, 0)
    if len(hidden) == 2:
        kernel, bias = model.get_layer("mlp_1").get_weights()
        expected = np.maximum(expected @ kernel + bias, 0)
    *_, got = model([queries, items])
    np.testing.assert_allclose(got, expected, atol=1e-6)


# Weighted


def test_every_dimension_is_weighed_by_a_number_of_its_own():
    layer = Weighted()
    vectors = normal(4, 3)
    layer(vectors)
    layer.set_weights([np.array([2.0, 0.0, -1.0])])
    np.testing.assert_allclose(layer(vectors), vectors * [2, 0, -1], atol=1e-7)


# Dropout


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_numbers_are_dropped_only_in_training(rate):
    values = normal(5, 7)
    np.testing.assert_array_equal(Dropout(rate)(values), values)
    assert (rate == 0) == np.array_equal(Dropout(rate)(values, training=True), values)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_asked_for_is_dropped_and_the_sum_is_expected_to_stay(rate):
    keras.utils.set_random_seed(1)
    got = np.asarray(Dropout(rate)(np.ones((1000, 101), np.float32), training=True))
    # Five standard deviations.
    assert (got == 0).mean() == pytest.approx(rate, abs=5 * (rate * (1 - rate) / got.size) ** 0.5)
    kept = got[got != 0]
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=1e-4)


def test_other_numbers_are_dropped_each_time_and_rows_and_columns_are_not_alike():
    keras.utils.set_random_seed(2)
    layer, values = Dropout(0.5), np.ones((40, 50), np.float32)
    first, second = (np.asarray(layer(values, training=True)) > 0 for _ in range(2))
    assert 0.4 < (first == second).mean() < 0.6
    for drops in (first, first.T):
        assert len(np.unique(drops, axis=0)) == len(drops)


def test_dropped_numbers_have_no_gradient():
    values = tf.constant(normal(6, 5))
    with tf.GradientTape() as tape:
        tape.watch(values)
        dropped = Dropout(0.5)(values, training=True)
    gradient = tape.gradient(dropped, values)
    np.testing.assert_allclose(gradient, np.where(np.asarray(dropped) == 0, 0.0, 2.0), rtol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(rate):
    with pytest.raises(UserError, match="dropout"):
        Dropout(rate)


def test_vectors_get_the_length_1_and_zeros_stay_zeros_in_tflite_too():
    vectors = np.array([[3, 4, 0], [0, 0, 0], [1e-20, 0, 0], [-2, 1, 2]], np.float32)
    wanted = np.array([[0.6, 0.8, 0], [0, 0, 0], [0, 0, 0], [-2 / 3, 1 / 3, 2 / 3]], np.float32)
    np.testing.assert_allclose(unit_length(vectors), wanted, rtol=0, atol=1e-6)
    function = tf.function(unit_length, input_signature=[tf.TensorSpec(vectors.shape)]).get_concrete_function()
    interpreter = Interpreter(model_content=tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], vectors)
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(answer, wanted, rtol=0, atol=1e-6)
