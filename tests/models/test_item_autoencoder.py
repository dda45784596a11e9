from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

import export
import zoo
from zoo.data import prepare
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.objectives.base import Batch
from zoo.schema import Feature, Schema, history_features
from zoo.training.fitting import interaction_matrix

SCHEMA = Schema(
    [
        Feature("user", "user", "id", 5),
        Feature("item", "item", "id", 6),
        *history_features(6, 3, largest_rating=5.0),
        Feature("label", "label", "numeric"),
    ]
)


def shaken(schema, **hparams):
    """An item autoencoder whose weights are far from zero."""
    model = zoo.build("item_autoencoder", schema, **{"hidden": 3, **hparams})
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def by_hand(model, ratings):
    """`V g(W r + mu) + b` of every user and item, from ratings `[items, users]` on a scale up to 5."""
    embeddings = [layer for layer in model.layers if type(layer).__name__ == "Embedding"]
    decoder, bias = sorted((layer.get_weights()[0] for layer in embeddings), key=lambda table: -table.shape[1])
    kernel, mu = next(layer for layer in model.layers if type(layer).__name__ == "Dense").get_weights()
    return decoder @ sigmoid(ratings @ kernel + mu).T + bias


RATINGS = np.zeros((6, 5), np.float32)
RATINGS[2, [2, 4]], RATINGS[3, 3], RATINGS[5, [2, 3, 4]] = [5, 1], 3, [4, 2, 2]


# The architecture


def test_a_score_decodes_the_code_of_the_items_ratings_for_the_user():
    model = shaken(SCHEMA)
    model.adapt(interactions=lambda: scipy.sparse.csr_matrix(RATINGS.T))
    scores = model.score({"user": np.arange(5)}, np.tile(np.arange(6), (5, 1)))
    np.testing.assert_allclose(scores, by_hand(model, RATINGS), rtol=1e-4, atol=1e-6)


def test_ratings_are_read_on_a_scale_up_to_5_whatever_that_of_the_data():
    of_ten = Schema(history_features(6, 3, 10.0)[1] if f.name == "history_rating" else f for f in SCHEMA)
    model, other = shaken(SCHEMA), shaken(of_ten)
    model.adapt(interactions=lambda: scipy.sparse.csr_matrix(RATINGS.T))
    other.adapt(interactions=lambda: scipy.sparse.csr_matrix(2 * RATINGS.T))
    query, items = {"user": np.arange(5)}, np.tile(np.arange(6), (5, 1))
    np.testing.assert_allclose(other.score(query, items), model.score(query, items), rtol=1e-5)


def test_items_nobody_rated_have_one_score_and_an_unknown_user_gets_the_mean_rating():
    model = zoo.build("item_autoencoder", SCHEMA, hidden=3)
    model.adapt(interactions=lambda: scipy.sparse.csr_matrix(RATINGS.T))
    model.set_rating_scale(3.6, 1.1)
    known = model.score({"user": [2]}, [[1, 4]])
    assert known[0, 0] == known[0, 1]
    np.testing.assert_allclose(model.score({"user": [1]}, [[2, 3, 4]]), 3.6, rtol=1e-6)


def test_the_ratings_are_not_trained():
    model = zoo.build("item_autoencoder", SCHEMA, hidden=3)
    assert (6, 5) not in [tuple(weight.shape) for weight in model.trainable_weights]


def test_dropout_hides_ratings_in_training_only():
    model = shaken(SCHEMA, dropout=0.9)
    model.adapt(interactions=lambda: scipy.sparse.csr_matrix(RATINGS.T))
    items = tf.fill([200], 5)
    codes = model.encode_items(items).numpy()
    assert (codes == codes[0]).all()
    assert len(np.unique(model.encode_items(items, training=True).numpy().round(4), axis=0)) > 1


# The objective


def whole(objective) -> Batch:
    """All examples as one batch."""
    number = objective.num_examples
    return Batch(tf.range(number), tf.constant([3, 4]), tf.range(number), tf.constant(number))


def rated(labels):
    """Four users' opinions of four items. Only the test part has the last item."""
    pairs = [("a", 1), ("a", 2), ("b", 1), ("c", 2), ("c", 3), ("d", 3), ("d", 4)]
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    return prepare(frame.assign(rating=labels, split=["train"] * 6 + ["test"]))


def trained_on(data, **options):
    model = shaken(data.schema)
    model.adapt(interactions=lambda: interaction_matrix(data))
    objective = make_objective("item_reconstruction", model, data, options)
    rows = data.part("train")
    scores = model.score({"user": rows["user"].to_numpy()}, rows["item"].to_numpy())
    total, weight = objective.loss(whole(objective))
    return model, objective, scores, rows["label"].to_numpy(), float(total), float(weight)


def test_explicit_ratings_get_squared_error_and_nothing_else_does():
    _, objective, scores, labels, total, weight = trained_on(rated([5, 1, 3, 4, 2, 2, 1]), feedback="explicit")
    assert objective.num_examples == 3
    assert weight == 6
    assert total == pytest.approx(np.sum((scores - labels) ** 2), rel=1e-5)


def test_explicit_labels_of_0_and_1_get_cross_entropy():
    _, _, scores, labels, total, weight = trained_on(rated([1, 0, 1, 1, 0, 1, 1]), feedback="explicit")
    chances = sigmoid(scores)
    expected = -np.sum(labels * np.log(chances) + (1 - labels) * np.log(1 - chances))
    assert weight == 6
    assert total == pytest.approx(expected, rel=1e-5)


def test_implicit_feedback_sets_those_who_saw_an_item_against_all_others():
    data = rated([5, 1, 3, 4, 2, 2, 1])
    model, _, _, _, total, weight = trained_on(data)
    users, items = np.arange(2, 6), np.arange(2, 5)
    met = interaction_matrix(data).toarray()[np.ix_(users, items)] > 0
    chances = sigmoid(model.score({"user": users}, np.tile(items, (4, 1))))
    assert weight == 12
    assert total == pytest.approx(-np.log(np.where(met, chances, 1 - chances)).sum(), rel=1e-5)


def test_an_item_seen_twice_is_one_positive():
    frame = pd.DataFrame({"user": ["a", "a", "b"], "item": [1, 1, 2], "rating": 1.0, "split": "train"})
    data = prepare(frame, duplicates="keep")
    once = prepare(frame, duplicates="last")
    model = shaken(data.schema)
    twice, single = (make_objective("item_reconstruction", model, one, {}) for one in (data, once))
    assert float(twice.loss(whole(twice))[0]) == pytest.approx(float(single.loss(whole(single))[0]))


def test_losses_of_parts_of_a_batch_add_up_to_that_of_the_whole():
    data = rated([5, 1, 3, 4, 2, 2, 1])
    _, objective, _, _, total, weight = trained_on(data, feedback="explicit")
    whole_batch = whole(objective)
    parts = [
        objective.loss(Batch(tf.constant(part), whole_batch.seed, tf.constant(part), whole_batch.size))
        for part in ([0, 2], [1])
    ]
    assert float(sum(part for part, _ in parts)) == pytest.approx(total, rel=1e-5)
    assert float(sum(number for _, number in parts)) == weight


def test_a_query_of_more_than_the_user_is_refused(datasets):
    model = zoo.build("lstm", datasets["ids"].schema, embedding_dim=4, units=4)
    with pytest.raises(UserError, match="'lstm' is asked by history"):
        make_objective("item_reconstruction", model, datasets["ids"], {})


def test_without_a_positive_there_is_nothing_to_learn():
    data = rated([0, 0, 0, 0, 0, 0, 1])
    with pytest.raises(UserError, match="no positive"):
        make_objective("item_reconstruction", shaken(data.schema), data, {})


# All the way


def taste(num_users=40, num_items=30, seed=0):
    """Ratings that follow from one taste of every user and one trait of every item."""
    rng = np.random.default_rng(seed)
    ratings = 3 + 1.5 * np.outer(rng.choice([-1, 1], num_users), rng.choice([-1, 1], num_items))
    users, items = np.nonzero(rng.random(ratings.shape) < 0.7)
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings[users, items]})
    return prepare(frame, split={"name": "random", "valid": 0.0, "test": 0.2})


def test_it_predicts_ratings_of_one_taste():
    settings = {"epochs": 60, "batch_size": 8, "learning_rate": 0.02, "patience": None}
    run = zoo.train(
        "item_autoencoder",
        taste(),
        hparams={"hidden": 8},
        train={**settings, "options": {"feedback": "explicit"}},
        progress=False,
    )
    # The ratings spread by 1.5 around their mean.
    assert run.metrics["ratings/test"]["metrics"]["rmse"]["mean"] < 0.3


def test_a_bundle_holds_the_codes_and_not_the_ratings(tmp_path):
    data = taste(num_users=300, num_items=200)
    train = {"epochs": 1, "options": {"feedback": "explicit"}}
    run = zoo.train("item_autoencoder", data, hparams={"hidden": 4}, train=train, progress=False)
    bundle = export.export(run, tmp_path / "bundle")
    ratings = 4 * data.num_users * data.num_items
    for name in ("saved_model", "onnx", "tflite"):
        sizes = [file.stat().st_size for file in (tmp_path / "bundle" / name).rglob("*") if file.is_file()]
        assert max(sizes) < ratings / 2
    assert all(check.passed for check in export.verify(bundle))
