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
from zoo import memory
from zoo.data import prepare
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, Schema


@functools.cache
def built(num_users, num_items, **hparams):
    schema = Schema.of_ids(num_users, num_items, history_length=num_items)
    return zoo.build("ease", schema, **hparams)


def scores(labels, histories, **hparams):
    """The scores of all items for histories, rows of labels too, by EASE of `[users, items]` labels."""
    model = built(*np.shape(labels), **hparams)
    model.solver(csr_matrix(np.pad(labels, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    items = np.arange(FIRST_KNOWN, model.num_items)
    query = {"history": np.where(histories, items, 0), "history_rating": histories}
    return model.score(query, np.tile(items, (len(histories), 1)))


def weights(labels, **hparams):
    """What the items of a row say about the items of a column."""
    return scores(labels, np.eye(np.shape(labels)[1]), **hparams)


def some_likes(num_users=30, num_items=10, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (num_users, num_items)).astype(np.float32)


@pytest.mark.parametrize("l2", [0.1, 3.0, 500.0])
def test_the_weights_are_the_papers_closed_form(l2):
    likes = some_likes()
    inverse = np.linalg.inv(likes.T @ likes + l2 * np.eye(10))
    expected = np.eye(10) - inverse / np.diag(inverse)
    np.testing.assert_allclose(weights(likes, l2=l2), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("num_items", "l2"), [(2, 1.0), (8, 0.5), (12, 100.0)])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_weights_of_an_item_are_a_ridge_regression_on_all_others(num_items, l2, seed):
    likes = some_likes(num_items=num_items, seed=seed)
    found = weights(likes, l2=l2)
    for item in range(num_items):
        others = np.delete(likes, item, axis=1)
        gram = others.T @ others + l2 * np.eye(num_items - 1)
        expected = np.linalg.solve(gram, others.T @ likes[:, item])
        np.testing.assert_allclose(np.delete(found[:, item], item), expected, rtol=1e-4, atol=1e-6)


def test_a_score_is_the_sum_of_what_the_liked_items_say_and_an_item_says_nothing_of_itself():
    likes = some_likes()
    found = weights(likes, l2=2.0)
    np.testing.assert_allclose(scores(likes, likes, l2=2.0), likes @ found, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.diag(found), 0)


def test_labels_of_0_and_below_are_not_liked_and_how_far_above_does_not_count():
    rng = np.random.default_rng(0)
    labels = rng.integers(-2, 4, (30, 10)).astype(np.float32)
    likes = (labels > 0).astype(np.float32)
    np.testing.assert_array_equal(scores(labels, labels, l2=2.0), scores(likes, likes, l2=2.0))


def test_an_item_that_a_history_lists_twice_counts_once_and_an_unknown_one_does_not():
    likes = some_likes()
    expected = scores(likes, np.array([[0, 0, 1, 0, 1, 0, 0, 0, 0, 0]]), l2=2.0)
    query = {"history": [[4, 6, 4, 1, 0, 0, 0, 0, 0, 0]], "history_rating": np.ones((1, 10))}
    found = built(*likes.shape, l2=2.0).score(query, np.arange(2, 12)[None])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_other_numbers_for_the_items_and_users_give_the_same_scores(seed):
    rng = np.random.default_rng(seed)
    likes = some_likes(seed=seed)
    items, users = rng.permutation(10), rng.permutation(30)
    turned = scores(likes[users][:, items], likes[:, items], l2=2.0)
    np.testing.assert_allclose(turned, scores(likes, likes, l2=2.0)[:, items], atol=1e-5)


def test_an_item_that_nobody_liked_scores_0_and_says_nothing():
    likes = some_likes()
    likes[:, 3] = 0
    found = weights(likes, l2=2.0)
    assert not found[3].any()
    assert not found[:, 3].any()


def test_without_an_l2_it_is_twice_the_items_that_come_with_an_average_liking():
    likes = np.array([[1, 1, 1, 1, 0], [1, 0, 0, 0, 0], [0, 1, 1, 0, 0]], np.float32)
    # Four likings come with 4 items, one with 1 and two with 2.
    derived = 2 * (4 * 4 + 1 * 1 + 2 * 2) / 7
    np.testing.assert_allclose(weights(likes), weights(likes, l2=derived), rtol=1e-6)
    frame = pd.DataFrame(np.argwhere(likes), columns=["user_id", "item_id"])
    data = prepare(frame, split={"name": "random", "valid": 0.0, "test": 0.0})
    run = zoo.train("ease", data, progress=False)
    assert run.model.hparams["l2"] == pytest.approx(derived)
    assert any("l2" in note for note in run.dataset.notes)


@pytest.mark.parametrize("l2", [0.0, -1.0])
def test_l2_is_above_0(l2):
    with pytest.raises(UserError, match=rf"ease: l2 must be above 0\. Received: {l2}"):
        zoo.build("ease", num_users=3, num_items=4, l2=l2)


def test_an_l2_that_is_lost_in_rounding_is_refused():
    the_same_twice = np.ones((4, 2))
    with pytest.raises(UserError, match=r"ease: l2 is lost .* Received: 1e-20\. Choose a larger one\."):
        weights(the_same_twice, l2=1e-20)


def test_items_whose_weights_do_not_fit_into_memory_are_refused_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"every two of 20,002 items needs 1\.6 GB .* e\.g\. slim"):
        zoo.build("ease", num_users=3, num_items=20_000)


def test_items_whose_inverse_does_not_fit_into_memory_are_refused_before_it_is_made(monkeypatch):
    model = built(3, 1000)
    monkeypatch.setattr(memory, "available_memory", lambda: 10**7)
    with pytest.raises(UserError, match=r"The inverse of a matrix of 1,002 items needs 16\.1 MB .* choose slim"):
        model.solver(csr_matrix((5, 1002), dtype=np.float32))


def test_every_format_scores_a_user_who_came_after_training_by_the_papers_formula(tmp_path):
    likes = some_likes()
    users, items = np.nonzero(likes)
    frame = pd.DataFrame({"user": users, "item": [f"item {i}" for i in items], "rating": 4.0})
    data = prepare(frame, split={"name": "random", "valid": 0, "test": 0}, max_history=None)
    bundle = export.export(zoo.train("ease", data, hparams={"l2": 2.0}, progress=False), tmp_path / "bundle")
    inverse = np.linalg.inv(likes.T @ likes + 2.0 * np.eye(10))
    newcomer = np.array([1, 0, 0, 0, 0, 1, 1, 0, 0, 0])
    (length,) = data.schema["history"].shape
    history = np.pad([f"item {i}" for i in np.flatnonzero(newcomer)], (length - 3, 0)).astype(object)
    query = {"history": history[None], "history_rating": np.where(history == "", 0, 4.0)[None]}
    wanted = np.array([[f"item {i}" for i in range(10)]], object)
    for name in bundle.formats:
        runtime = open_runtime(bundle.folder, name, bundle.endpoints, bundle.version)
        answer = runtime.run("score", {**query, "items": wanted})["scores"]
        np.testing.assert_allclose(answer[0], newcomer - newcomer @ (inverse / np.diag(inverse)), atol=1e-5)


@pytest.mark.parametrize("label", [0.0, -1.0])
def test_training_data_without_a_positive_is_refused(label):
    labels = np.full((3, 8), label)
    with pytest.raises(UserError, match="label above 0, so there is no positive"):
        scores(labels, labels)
