from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from graphs import LENGTH, NUM_ITEMS, NUM_USERS, part
from scipy.sparse import csr_matrix

import zoo
from zoo.data import prepare
from zoo.errors import UserError
from zoo.layers import derive
from zoo.schema import Schema

# The last user and the last item are without ratings; the scale has a hole.
RATINGS = np.zeros((NUM_USERS + 2, NUM_ITEMS + 2), np.float32)
for user, item, rating in [
    (2, 2, 1),
    (2, 3, 5),
    (3, 3, 4.5),
    (3, 4, 1),
    (4, 2, 5),
    (4, 5, 4.5),
    (4, 6, 1),
    (5, 7, 5),
    (6, 8, 1),
]:
    RATINGS[user, item] = rating
LEVELS = [1, 4.5, 5]


@pytest.fixture
def model():
    """A model of random weights, with room for a level more than there are."""
    schema = Schema.of_ids(NUM_USERS, NUM_ITEMS, history_length=LENGTH)
    model = zoo.build("gcmc", schema, units=2, embedding_dim=3, most_levels=4)
    ratings = csr_matrix(RATINGS)
    model.adapt(ratings=lambda: ratings)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    derive(model)
    return model


def query_of(user, history, ratings):
    """A query. Ratings are given as the schema wants them, where the largest is 1."""
    pad = LENGTH - len(history)
    return {
        "user": np.array([user]),
        "history": np.array([[0] * pad + history]),
        "history_rating": np.array([[0.0] * pad + ratings], np.float32),
    }


def vector_of(model, sent, own, to):
    """What a node becomes of its ratings by the index of who gave or got them."""
    messages = np.zeros((4, 2))
    for index, rating in own.items():
        messages[LEVELS.index(rating)] += sent[index].reshape(4, 2)[LEVELS.index(rating)] / len(own)
    return np.maximum(messages.ravel(), 0) @ part(model, to).get_weights()[0]


def test_a_rating_is_the_expectation_over_the_levels_of_the_training_data(model):
    users, items = (part(model, f"sent_by_{of}").get_weights()[0] for of in ("users", "items"))
    user = vector_of(model, items, {2: 5, 5: 4.5, 6: 1}, "to_user")
    item = vector_of(model, users, {2: 5, 3: 4.5}, "to_item")
    forms, mix = (layer.get_weights()[0] for layer in model.layers if isinstance(layer, keras.layers.Dense))
    if forms.shape[0] != 3:
        forms, mix = mix, forms
    logits = ((user @ forms).reshape(2, 3) @ item @ mix)[:3]
    shares = np.exp(logits) / np.exp(logits).sum()
    score = model.score(query_of(4, [], []), np.array([[3]]))
    np.testing.assert_allclose(score, [[shares @ LEVELS]], rtol=1e-5)


def test_a_history_gives_the_ratings_of_a_known_user(model):
    items = np.arange(2, 10)[None]
    known = model.score(query_of(4, [], []), items)
    # Labels are ratings divided by the largest, which is 1 in this schema.
    folded = model.score(query_of(1, [2, 5, 6], [5.0, 4.5, 1.0]), items)
    assert np.ptp(known) > 0.01
    np.testing.assert_allclose(folded, known, rtol=1e-5)


def test_nodes_without_ratings_get_a_rating_within_the_scale(model):
    for query in (query_of(7, [], []), query_of(1, [], []), query_of(0, [9], [1.0])):
        scores = model.score(query, np.arange(10)[None])
        assert ((scores >= 1) & (scores <= 5)).all()


def frame(ratings, seed=0):
    rng = np.random.default_rng(seed)
    rows = [(f"u{user}", f"i{item}", rng.choice(ratings)) for user in range(12) for item in rng.permutation(10)[:6]]
    # One user has a single event.
    return pd.DataFrame([*rows, ("single", "i0", ratings[0])], columns=["user", "item", "rating"])


@pytest.mark.parametrize("ratings", [[1.0, 4.0, 5.0], [0.5, 1.5, 3.5], [-2.0, 0.0, 2.0]])
def test_any_scale_is_trained_and_predicted(ratings):
    data = prepare(frame(ratings), name="scale", max_history=4, split={"name": "random", "valid": 0.1, "test": 0.2})
    settings = {"epochs": 2, "batch_size": 16, "patience": None}
    run = zoo.train("gcmc", data, hparams={"units": 3, "embedding_dim": 3}, train=settings, progress=False)
    assert np.isfinite(run.evaluate().metrics["rmse"].mean)
    graph = next(layer for layer in run.model.layers if hasattr(layer, "graph")).graph
    assert graph.values.numpy()[:3].tolist() == ratings
    scores = run.model.score(data.queries(run.model.query_names, np.arange(2, 8), "train"), np.full((6, 1), 3))
    assert (scores >= min(ratings)).all()
    assert (scores <= max(ratings)).all()


def test_a_scale_without_levels_is_refused():
    data = prepare(frame(list(np.linspace(1, 5, 40))), name="scale", max_history=4)
    with pytest.raises(UserError, match=r"different ratings, and there is room for 10 levels"):
        zoo.train("gcmc", data, train={"epochs": 1}, progress=False)


def test_hparams_out_of_range_are_refused():
    with pytest.raises(UserError, match="feature_units at least 0"):
        zoo.build("gcmc", num_users=5, num_items=7, units=0)
