from __future__ import annotations

from itertools import combinations

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zoo.layers import IdEmbedding, feature_values, linear_terms, pairwise_products, query_and_item
from zoo.schema import Feature, Schema


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6).flatmap(lambda n: arrays.arrays(np.float32, (n, 3, 4), elements=st.integers(-9, 9))))
def test_the_products_of_all_pairs_of_vectors(vectors):
    expected = sum((np.sum(one * other, axis=-1) for one, other in combinations(vectors, 2)), np.zeros(3))
    np.testing.assert_allclose(pairwise_products(list(vectors)), expected[:, None], atol=1e-3)


def test_linear_terms_are_weights_of_ids_categories_numbers_and_texts():
    schema = Schema(
        [
            Feature("user", "user", "id", 6),
            Feature("group", "user", "categorical", 5),
            Feature("tags", "user", "categorical", 7, length=3),
            Feature("age", "user", "numeric"),
            Feature("about", "user", "text", 2),
        ]
    )
    terms = linear_terms(feature_values(schema, ("user",)), id_dropout=0.2)
    model = keras.Model({feature.name: schema.input(feature.name) for feature in schema}, terms)
    query = {
        "user": np.array([4, 1], np.int32),
        "group": np.array([2, 3], np.int32),
        "tags": np.array([[5, 2, 0], [0, 0, 0]], np.int32),
        "age": np.array([0.5, -2], np.float32),
        "about": np.array([[0.3, 0.7], [0, 0]], np.float32),
    }
    # All that was not drawn for all ids alike starts at zero.
    (ids,) = [layer for layer in model.layers if isinstance(layer, IdEmbedding)]
    np.testing.assert_array_equal(model(query), np.tile(ids.common, (2, 1)))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    tables = {w.shape[0]: np.asarray(w)[:, 0] for w in model.trainable_weights if len(w.shape) == 2}
    common, bias = [np.asarray(weight)[0] for weight in model.trainable_weights if len(weight.shape) == 1]
    users, groups, tags, (age, *about) = (tables[rows] for rows in (6, 5, 7, 3))
    expected = [
        users[4] + groups[2] + (tags[5] + tags[2]) / 2 + 0.5 * age + np.dot([0.3, 0.7], about) + common + bias,
        users[1] + groups[3] - 2 * age + common + bias,
    ]
    np.testing.assert_allclose(model(query)[:, 0], expected, rtol=1e-5)


def test_pooled_histories_come_from_the_table_of_the_target_and_both_sides_have_a_vector_a_feature(datasets):
    schema = Schema(datasets["text"].schema)
    query, item = query_and_item(schema, 4, dropout=0.0, id_dropout=0.0, recent=2)
    # User, age, group and device; two pooled vectors and three numbers of the history.
    assert len(query.vectors) == 4 + 5
    # Item, title, year, genres.
    assert len(item.vectors) == 4
    assert query.joined.shape == (None, 36)
    assert query.total.shape == item.total.shape == (None, 4)
    model = keras.Model([schema.input("history"), schema.input("history_rating")], query.vectors[5])
    wide = [weight for weight in model.weights if weight.shape == (schema.size("item"), 4)]
    target = keras.Model(schema.input("item"), item.vectors[0])
    assert [id(weight) for weight in wide] == [id(w) for w in target.weights if len(w.shape) == 2]


def test_numbers_of_the_vectors_are_dropped_only_in_training():
    schema = Schema.of_ids(history_length=3)
    _, item = query_and_item(schema, 50, dropout=0.5, id_dropout=0.0, recent=2)
    model, ids = keras.Model(schema.input("item"), item.vectors[0]), np.arange(2, 40)
    assert np.asarray(model(ids)).all()
    assert 0.4 < (np.asarray(model(ids, training=True)) == 0).mean() < 0.6
