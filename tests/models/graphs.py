"""Graph architectures on a small graph with isolated nodes, their weights far from where they start."""

from __future__ import annotations

import keras
import numpy as np
from scipy.sparse import csr_matrix

import zoo
from zoo.keras_internals import flatten_layers
from zoo.layers import derive
from zoo.schema import Schema

NUM_USERS, NUM_ITEMS, LENGTH = 6, 8, 5
# Rows are user indices. Padding, unknown and the last user have liked nothing, and nobody has liked the last item.
LIKED = np.zeros((NUM_USERS + 2, NUM_ITEMS + 2), np.float32)
for user, items in enumerate([[], [], [2, 3, 4], [4, 5], [2, 6, 7, 8], [3], [5, 6], []]):
    LIKED[user, items] = [3 + (user + item) % 3 for item in items]


def make(name, **hparams):
    """A model whose tables follow from the graph and from random weights."""
    model = zoo.build(name, Schema.of_ids(NUM_USERS, NUM_ITEMS, history_length=LENGTH), **hparams)
    graph = csr_matrix(LIKED)
    model.adapt(interactions=lambda: graph, ratings=lambda: graph)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    derive(model)
    return model


def part(model, name) -> keras.layers.Layer:
    """The layer of a name, wherever it is."""
    return next(layer for layer in flatten_layers(model) if layer.name == name)


def query_of(users, histories):
    """Queries of users with histories of liked items."""
    history = np.array([[0] * (LENGTH - len(items)) + list(items) for items in histories], np.int32)
    return {"user": np.array(users, np.int32), "history": history, "history_rating": (history > 0).astype("float32")}


def vectors(model, users, histories):
    """Query vectors."""
    return model.encode_query(query_of(users, histories)).numpy()


def normalized():
    """The matrix of the graph, divided by the roots of the degrees."""
    liked = (LIKED > 0).astype(np.float64)
    degrees = [np.maximum(liked.sum(axis=axis, keepdims=True), 1) for axis in (0, 1)]
    return liked / np.sqrt(degrees[0]) / np.sqrt(degrees[1])


def check_fold_in(model, start="user_start"):
    """A user whose own start is zeros has the vector that an unknown user with the same history has."""
    users = part(model, start)
    table = users.get_weights()[0]
    table[4] = 0
    users.set_weights([table])
    derive(model)
    known, folded = vectors(model, [4, 1], [[], [2, 6, 7, 8]])
    assert np.abs(known).max() > 0.1
    np.testing.assert_allclose(folded, known, rtol=1e-5, atol=1e-6)
    # The order of a history and an item listed twice make no difference.
    np.testing.assert_allclose(vectors(model, [1], [[8, 2, 6, 7, 8]])[0], known, rtol=1e-5, atol=1e-6)


def check_users_without_edges(model):
    """A user of the table without edges is answered from the history; without one, scores are numbers."""
    newcomer, unknown = vectors(model, [7, 1], [[2, 3], [2, 3]])
    np.testing.assert_array_equal(newcomer, unknown)
    assert np.abs(newcomer).max() > 0
    _, scores = model.recommend(query_of([7, 1, 0, 2], [[], [], [], []]), k=5)
    assert np.isfinite(scores).all()
    assert np.isfinite(model.encode_catalogue()[0]).all()
