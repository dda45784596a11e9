from __future__ import annotations

import numpy as np
import pytest
from graphs import LENGTH, LIKED, NUM_ITEMS, NUM_USERS, query_of
from scipy.sparse import csr_matrix

import zoo
from zoo import memory
from zoo.errors import UserError
from zoo.schema import Schema


def solved(**hparams):
    model = zoo.build("gfcf", Schema.of_ids(NUM_USERS, NUM_ITEMS, history_length=LENGTH), **hparams)
    model.solver(csr_matrix(LIKED))
    return model


@pytest.mark.parametrize(("filters", "ideal_weight"), [(2, 0.3), (100, 0.7), (3, 0.0)])
def test_scores_are_those_of_the_papers_filters(filters, ideal_weight):
    liked = (LIKED > 0).astype(np.float64)
    by_user, by_item = liked.sum(axis=1, keepdims=True), liked.sum(axis=0)
    normalized = liked / np.sqrt(np.maximum(by_user, 1)) / np.sqrt(np.maximum(by_item, 1))
    _, values, right = np.linalg.svd(normalized)
    rank = (values > 1e-6).sum()
    smooth = right[: min(filters, rank)].T
    down = np.where(by_item > 0, 1 / np.sqrt(np.maximum(by_item, 1)), 0)
    ideal = np.diag(down) @ smooth @ smooth.T @ np.diag(np.sqrt(by_item))
    expected = liked[[2, 4]] @ (normalized.T @ normalized + ideal_weight * ideal)
    model = solved(filters=filters, ideal_weight=ideal_weight)
    query = query_of([1, 1], [[2, 3, 4], [2, 6, 7, 8]])
    scores = model.score({name: query[name] for name in model.query_names}, np.tile(np.arange(10), (2, 1)))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_an_item_that_nobody_liked_and_an_empty_history_score_zeros():
    model = solved(filters=3)
    query = query_of([1, 1], [[2, 3], []])
    scores = model.score({name: query[name] for name in model.query_names}, [[9, 2], [9, 2]])
    assert np.isfinite(scores).all()
    assert scores[0, 0] == 0
    assert not scores[1].any()


def test_a_catalogue_that_does_not_fit_is_refused_before_memory_is_taken(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * 10**9)
    with pytest.raises(UserError, match=r"100,000 items needs 40\.0 GB .* 8\.0 GB .* e\.g\. lightgcn or ials"):
        zoo.build("gfcf", num_users=5, num_items=99_998)
    model = zoo.build("gfcf", num_users=5, num_items=7)
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    with pytest.raises(UserError, match=r"The filters of 9 items needs .* 100 bytes are available.* e\.g\. lightgcn"):
        model.solver(csr_matrix(np.ones((7, 9))))


def test_hparams_out_of_range_are_refused():
    with pytest.raises(UserError, match="filters must be at least 1 and ideal_weight at least 0"):
        zoo.build("gfcf", num_users=5, num_items=7, filters=0)
