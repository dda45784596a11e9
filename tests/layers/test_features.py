from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zoo.errors import UserError
from zoo.layers import AttentionPooling, FeatureNodes, HistorySummary, IdEmbedding
from zoo.schema import Feature, Schema
from zoo.training.optimizers import Adam


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(rows=8, dim=3, dropout=0.0, seed=0):
    """An embedding in which something was learned of every id, the common vector, and what was learned."""
    layer = IdEmbedding(rows, dim, dropout=dropout)
    layer.build()
    layer.own.embeddings.assign(normal(rows, dim, seed=seed))
    return layer, np.asarray(layer.common), np.asarray(layer.own.embeddings)


# IdEmbedding


def test_an_id_has_the_common_vector_and_its_own():
    layer, common, own = trained()
    np.testing.assert_allclose(layer(np.array([2, 7, 2])), common + own[[2, 7, 2]], rtol=1e-6)
    ids = np.array([[0, 3], [4, 5]])
    np.testing.assert_allclose(layer(ids), common + own[ids], rtol=1e-6)


def test_ids_that_are_not_trained_on_have_exactly_the_common_vector():
    layer, optimizer = IdEmbedding(8, 3), Adam(learning_rate=0.1)
    for step in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(np.array([2, 3, 3])) - normal(3, 3, seed=step)))
        gradients = tape.gradient(loss, layer.trainable_weights)
        assert any(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)
        optimizer.apply(gradients, layer.trainable_weights)
    vectors, common = np.asarray(layer(np.arange(8))), np.asarray(layer.common)
    is_common = (vectors == common).all(axis=1)
    assert is_common.tolist() == [True, True, False, False, True, True, True, True]
    assert common.any()


def test_a_share_of_the_training_examples_has_only_the_common_vector_and_the_others_are_as_ever():
    keras.utils.set_random_seed(3)
    layer, common, own = trained(dropout=0.3)
    ids = np.random.default_rng(0).integers(0, 8, 20_000)
    vectors = np.asarray(layer(ids, training=True))
    is_dropped = (vectors == common).all(axis=1)
    # Five standard deviations.
    assert is_dropped.mean() == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / len(ids)) ** 0.5)
    np.testing.assert_array_equal(vectors[~is_dropped], (common + own[ids])[~is_dropped])


def test_a_list_of_ids_is_dropped_as_a_whole():
    keras.utils.set_random_seed(3)
    layer, common, _ = trained(dropout=0.5)
    vectors = np.asarray(layer(np.random.default_rng(0).integers(0, 8, (200, 6)), training=True))
    dropped = (vectors == common).all(axis=2).sum(axis=1)
    assert set(dropped.tolist()) == {0, 6}


def test_ids_are_dropped_only_in_training_and_only_with_a_rate():
    layer, common, own = trained(dropout=0.9)
    ids = np.arange(8)
    np.testing.assert_array_equal(layer(ids), common + own)
    layer, common, own = trained(dropout=0.0)
    np.testing.assert_array_equal(layer(ids, training=True), common + own)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_share_of_ids_that_is_none_is_refused(rate):
    with pytest.raises(UserError, match="id_dropout must be at least 0 and below 1"):
        IdEmbedding(8, 3, dropout=rate)


def test_a_width_below_1_is_refused():
    with pytest.raises(UserError, match="embedding_dim"):
        IdEmbedding(8, 0)


# AttentionPooling


def attention(dim=3, seed=0):
    """A layer whose weights are far from where they start."""
    layer = AttentionPooling()
    layer.build((None, None, dim))
    layer.set_weights([normal(*weight.shape, seed=seed + number) for number, weight in enumerate(layer.weights)])
    return layer


def naive_attention(layer, vectors, present):
    kernel, bias, score = (np.asarray(weight) for weight in layer.weights)
    pooled = np.zeros((len(vectors), vectors.shape[-1]))
    for row, there in enumerate(present):
        if there.any():
            kept = vectors[row][there]
            weights = np.exp(np.tanh(kept @ kernel + bias) @ score)[:, 0]
            pooled[row] = weights @ kept / weights.sum()
    return pooled


PRESENT = arrays.arrays(bool, (4, 5))
VECTORS = arrays.arrays(np.float32, (4, 5, 3), elements=st.floats(-5, 5, width=32))


@settings(max_examples=30, deadline=None)
@given(VECTORS, PRESENT)
def test_a_set_is_pooled_by_a_softmax_over_what_is_there(vectors, present):
    layer = attention()
    pooled = np.asarray(layer(vectors, present))
    np.testing.assert_allclose(pooled, naive_attention(layer, vectors, present), atol=1e-4)
    assert not pooled[~present.any(axis=1)].any()


@settings(max_examples=30, deadline=None)
@given(VECTORS, PRESENT, st.permutations(range(5)), st.floats(-1e3, 1e3, width=32))
def test_neither_the_order_of_a_set_nor_what_stands_in_its_padding_counts(vectors, present, order, other):
    layer = attention()
    before = layer(vectors, present)
    turned = np.where(present[..., None], vectors, np.float32(other))[:, order]
    np.testing.assert_allclose(layer(turned, present[:, order]), before, atol=1e-5)


def test_all_of_a_set_weighs_the_same_at_first_and_can_learn_to_differ():
    layer, vectors = AttentionPooling(), normal(2, 4, 3)
    present = np.array([[True, True, False, True], [True] * 4])
    expected = [vectors[0, [0, 1, 3]].mean(axis=0), vectors[1].mean(axis=0)]
    with tf.GradientTape() as tape:
        pooled = layer(vectors, present)
        loss = tf.reduce_sum(pooled * normal(2, 3, seed=1))
    np.testing.assert_allclose(pooled, expected, atol=1e-6)
    assert np.abs(tape.gradient(loss, layer.score.kernel)).max() > 1e-3


# HistorySummary


def summary_of(history, ratings, recent=2, table=None):
    """The numbers, the vector of the liked items and that of the last ones, and the table of the items."""
    schema = Schema.of_ids(num_users=3, num_items=6, history_length=len(history[0]))
    items, _, _ = trained(schema.size("item")) if table is None else (table, None, None)
    summary = HistorySummary(schema, items, recent)
    inputs = [schema.input("history"), schema.input("history_rating")]
    model = keras.Model(inputs, [*summary.numbers, *summary.vectors])
    *numbers, liked, last = model([np.array(history, np.int32), np.array(ratings, np.float32)])
    return np.stack(numbers, axis=1), np.asarray(liked), np.asarray(last), np.asarray(items(np.arange(8)))


def test_a_history_in_numbers_and_vectors():
    history = [[0, 3, 4, 5, 6], [2, 2, 3, 7, 4]]
    ratings = [[0, 0.4, -0.2, 0.2, -0.4], [0.2, 0.2, 0.4, 0.0, -0.6]]
    numbers, liked, last, items = summary_of(history, ratings)
    # Two of four events are liked, and three of five; a rating of 0 is no liking.
    np.testing.assert_allclose(numbers, [[np.log(5), 3 / 6, 0.0], [np.log(6), 4 / 7, 0.04]], atol=1e-6)
    np.testing.assert_allclose(liked, [items[[3, 5]].mean(axis=0), items[[2, 2, 3]].mean(axis=0)], atol=1e-6)
    np.testing.assert_allclose(last, [items[[5, 6]].mean(axis=0), items[[7, 4]].mean(axis=0)], atol=1e-6)


def test_nothing_is_known_of_an_empty_history():
    numbers, liked, last, _ = summary_of([[0, 0, 0]], [[0, 0, 0]])
    np.testing.assert_allclose(numbers, [[0, 0.5, 0]])
    assert not liked.any()
    assert not last.any()


def test_without_a_like_only_the_last_items_have_a_vector():
    numbers, liked, last, items = summary_of([[0, 3, 4]], [[0, -0.2, -0.4]])
    np.testing.assert_allclose(numbers, [[np.log(3), 1 / 4, -0.3]], rtol=1e-6)
    assert not liked.any()
    np.testing.assert_allclose(last[0], items[[3, 4]].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("recent", [3, 30])
def test_a_history_that_is_shorter_than_what_is_recent_is_recent_as_a_whole(recent):
    _, _, last, items = summary_of([[0, 3, 4]], [[0, 0.2, 0.2]], recent)
    np.testing.assert_allclose(last[0], items[[3, 4]].mean(axis=0), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, 7), st.integers(-5, 5)), max_size=4),
    arrays.arrays(np.float32, 4, elements=st.integers(-5, 5)),
)
def test_the_ratings_of_padded_events_do_not_matter(events, padded):
    table, _, _ = trained()
    padding = 4 - len(events)
    history = [[0] * padding + [item for item, _ in events]]
    ratings = [rating / 5 for _, rating in events]
    plain = summary_of(history, [[0] * padding + ratings], table=table)
    other = summary_of(history, [[*padded[:padding], *ratings]], table=table)
    for expected, got in zip(plain, other, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("recent", [0, -3])
def test_no_recent_events_are_refused(recent):
    with pytest.raises(UserError, match="recent must be at least 1"):
        summary_of([[2, 3]], [[0.2, 0.2]], recent)


# FeatureNodes


def test_a_history_can_be_looked_up_in_the_table_of_the_target():
    schema = Schema.of_ids(num_users=3, num_items=6, history_length=2)
    nodes = FeatureNodes(schema, ("user", "item"), 4)
    assert set(nodes.ids) == {"user", "item"}
    target, met = nodes.categorical[1], nodes.ids["item"](schema.input("history"))
    model = keras.Model([schema.input("item"), schema.input("history")], [target, met])
    table = nodes.ids["item"].own.embeddings
    table.assign(normal(*table.shape))
    target, met = model([np.array([5], np.int32), np.array([[0, 5]], np.int32)])
    np.testing.assert_array_equal(target, met[:, 1])


def test_ids_of_every_role_are_dropped_by_the_share_asked_for():
    schema = Schema([*Schema.of_ids(), Feature("tag", "user", "categorical", 5)])
    nodes = FeatureNodes(schema, ("user", "item"), 4, id_dropout=0.4)
    assert [table.dropout for table in nodes.ids.values()] == [0.4, 0.4]
    assert len(nodes.all) == 3
