from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

import export
import zoo
from export.formats import open_runtime
from zoo.data import prepare
from zoo.errors import UserError
from zoo.layers import Embedding
from zoo.schema import FIRST_KNOWN, Schema


@functools.cache
def built(num_users, num_items, **hparams):
    schema = Schema.of_ids(num_users, num_items, history_length=num_items)
    return zoo.build("ials", schema, **hparams)


def solved(labels, start, **hparams):
    """iALS of `[users, items]` labels, from the given initial item vectors."""
    model = built(*np.shape(labels), embedding_dim=start.shape[1], **hparams)
    (item_vectors,) = (layer for layer in model.layers if isinstance(layer, Embedding))
    item_vectors.set_weights([np.pad(start, [(FIRST_KNOWN, 0), (0, 0)])])
    model.solver(csr_matrix(np.pad(labels, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    return model


def query_of(histories):
    return {"history": np.where(histories, np.arange(FIRST_KNOWN, FIRST_KNOWN + 8), 0), "history_rating": histories}


def scores(model, histories):
    """The scores of all items for histories, which are rows of labels."""
    items = np.arange(FIRST_KNOWN, model.num_items)
    return model.score(query_of(histories), np.tile(items, (len(histories), 1)))


def tables(model, likes):
    """The vectors of users with the given histories and of the items."""
    return model.encode_query(query_of(likes)).numpy(), model.encode_catalogue()[0].numpy()[FIRST_KNOWN:]


def some_likes(num_users=20, num_items=8, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (num_users, num_items)).astype(np.float32)


def some_vectors(dim, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, (8, dim))


# The truth: Rendle et al., 2021, with every system solved exactly in float64.


def ridges(likes, regularization, unobserved_weight, frequency_scaling):
    """The regularization of every row of a matrix."""
    return regularization * (likes.sum(axis=1) + unobserved_weight * likes.shape[1]) ** frequency_scaling


def half_step(likes, vectors, **hparams):
    """The rows' vectors that are best given those of the columns."""
    everything = hparams["unobserved_weight"] * vectors.T @ vectors
    rows = []
    for row, ridge in zip(likes, ridges(likes, **hparams), strict=True):
        mine = vectors[row > 0]
        rows.append(np.linalg.solve(mine.T @ mine + everything + ridge * np.eye(vectors.shape[1]), mine.sum(axis=0)))
    return np.array(rows)


def objective(likes, users, items, **hparams):
    """What alternating least squares minimise."""
    predicted = users @ items.T
    penalties = (ridges(likes, **hparams) @ users**2).sum() + (ridges(likes.T, **hparams) @ items**2).sum()
    return (likes * (1 - predicted) ** 2).sum() + hparams["unobserved_weight"] * (predicted**2).sum() + penalties


WEIGHTS = [
    {"regularization": 0.007, "unobserved_weight": 0.3, "frequency_scaling": 1.0},
    {"regularization": 0.5, "unobserved_weight": 0.1, "frequency_scaling": 0.0},
    {"regularization": 0.05, "unobserved_weight": 2.0, "frequency_scaling": 0.5},
]


@pytest.mark.parametrize("hparams", WEIGHTS)
@pytest.mark.parametrize("epochs", [1, 3])
def test_an_epoch_solves_the_normal_equations_of_the_users_and_then_of_the_items(epochs, hparams):
    # In two dimensions the steps of a sweep are as many as an exact solution takes.
    likes, items = some_likes(), some_vectors(2)
    model = solved(likes, items, epochs=epochs, **hparams)
    for _ in range(epochs):
        items = half_step(likes.T, half_step(likes, items, **hparams), **hparams)
    newcomers = some_likes(seed=1)
    expected = half_step(newcomers, items, **hparams) @ items.T
    np.testing.assert_allclose(scores(model, newcomers), expected, atol=1e-5)


@pytest.mark.parametrize("hparams", WEIGHTS)
def test_after_many_epochs_users_and_items_solve_each_others_normal_equations(hparams):
    likes = some_likes()
    users, items = tables(solved(likes, some_vectors(3), epochs=100, **hparams), likes)
    np.testing.assert_allclose(users, half_step(likes, items, **hparams), atol=1e-4)
    np.testing.assert_allclose(items, half_step(likes.T, users, **hparams), atol=1e-3)


@pytest.mark.parametrize("hparams", WEIGHTS)
def test_the_objective_falls_from_epoch_to_epoch(hparams):
    likes = some_likes()
    falling = []
    for epochs in (1, 2, 4, 8):
        model = solved(likes, some_vectors(5), epochs=epochs, **hparams)
        falling.append(objective(likes, *tables(model, likes), **hparams))
    assert (np.diff(falling) < 0).all()


def test_labels_of_0_and_below_are_not_liked_and_how_far_above_does_not_count():
    labels = np.random.default_rng(0).integers(-2, 4, (20, 8)).astype(np.float32)
    likes = (labels > 0).astype(np.float32)
    found, expected = (scores(solved(one, some_vectors(4), epochs=3), one) for one in (labels, likes))
    np.testing.assert_array_equal(found, expected)


def test_an_item_that_a_history_lists_twice_counts_once_and_an_unknown_one_does_not():
    model = solved(some_likes(), some_vectors(4), epochs=3)
    query = {"history": [[4, 6, 4, 1, 0, 0, 0, 0]], "history_rating": np.ones((1, 8))}
    expected = scores(model, np.array([[0, 0, 1, 0, 1, 0, 0, 0]]))
    np.testing.assert_allclose(model.score(query, np.arange(2, 10)[None]), expected, rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_other_numbers_for_the_items_and_users_give_the_same_scores(seed):
    rng = np.random.default_rng(seed)
    likes, start = some_likes(seed=seed), some_vectors(4, seed)
    items, users = rng.permutation(8), rng.permutation(20)
    expected = scores(solved(likes, start, epochs=3), likes)[:, items]
    turned = solved(likes[users][:, items], start[items], epochs=3)
    np.testing.assert_allclose(scores(turned, likes[:, items]), expected, atol=1e-4)


def test_vectors_may_be_wider_than_the_catalogue():
    likes = some_likes()
    model = solved(likes, some_vectors(12), epochs=20, regularization=1e-6, unobserved_weight=0.25)
    # Next to free to choose every score, it is best to be at 1 / (1 + 0.25) for what was seen, and else at 0.
    np.testing.assert_allclose(scores(model, likes), 0.8 * likes, atol=1e-3)


@pytest.mark.parametrize(
    ("hparam", "value"),
    [
        *(("embedding_dim", value) for value in (0, -2)),
        ("steps", -1),
        *(("epochs", value) for value in (0, -1)),
        *((name, value) for name in ("regularization", "unobserved_weight", "stddev") for value in (0.0, -0.1)),
    ],
)
def test_hparams_that_mean_nothing_are_refused(hparam, value):
    with pytest.raises(UserError, match=rf"ials: embedding_dim, epochs and steps must .* Received: .*{hparam}={value}"):
        zoo.build("ials", num_users=3, num_items=4, **{hparam: value})


def test_vectors_that_do_not_fit_into_memory_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr("zoo.memory.available_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"6 rows of 2000000000 needs 48\.0 GB .* narrower vectors"):
        zoo.build("ials", num_users=3, num_items=4, embedding_dim=2 * 10**9)


def test_every_format_solves_a_user_who_came_after_training(tmp_path):
    users, items = np.nonzero(some_likes(num_items=12))
    frame = pd.DataFrame({"user": users, "item": items, "rating": 4.0})
    data = prepare(frame, split={"name": "random", "valid": 0, "test": 0}, max_history=None)
    run = zoo.train("ials", data, hparams={"embedding_dim": 5, **WEIGHTS[0]}, progress=False)
    bundle = export.export(run, tmp_path / "bundle")
    vectors = run.model.encode_catalogue()[0].numpy()[FIRST_KNOWN:]
    newcomer = np.zeros((1, 12))
    newcomer[0, [0, 5, 6]] = 1
    expected = half_step(newcomer, vectors, **WEIGHTS[0]) @ vectors.T
    (length,) = data.schema["history"].shape
    history, rating = (
        np.pad(np.array([row]), [(0, 0), (length - 3, 0)], constant_values=nothing)
        for row, nothing in (([0, 5, 6], -1), ([4.0] * 3, 0.0))
    )
    query = {"history": history, "history_rating": rating, "items": np.arange(12)[None]}
    for name in bundle.formats:
        answer = open_runtime(bundle.folder, name, bundle.endpoints, bundle.version).run("score", query)
        np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)


@pytest.mark.parametrize("label", [0.0, -1.0])
def test_training_data_without_a_positive_is_refused(label):
    labels = np.full((3, 8), label)
    with pytest.raises(UserError, match="label above 0, so there is no positive"):
        solved(labels, some_vectors(4))
