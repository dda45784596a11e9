from __future__ import annotations

import numpy as np
import pytest
from graphs import check_fold_in, check_users_without_edges, make, normalized, part, query_of, vectors

import zoo
from zoo.errors import UserError


def test_vectors_are_means_of_all_rounds_but_the_start():
    model = make("xsimgcl", embedding_dim=4, rounds=2)
    users, items = (part(model, f"{of}_start").get_weights()[0].astype(np.float64) for of in ("user", "item"))
    expected = (normalized() @ items + normalized() @ normalized().T @ users) / 2
    np.testing.assert_allclose(vectors(model, range(2, 7), [[]] * 5), expected[2:7], rtol=1e-5, atol=1e-6)


def test_views_are_the_vectors_of_the_round_that_is_compared():
    model = make("xsimgcl", embedding_dim=4, rounds=2, noise=0.0)
    users, items = (part(model, f"{of}_start").get_weights()[0] for of in ("user", "item"))
    final, view = model.view_queries(query_of([2, 3], [[], []]), training=True)
    np.testing.assert_allclose(view, (normalized() @ items)[2:4], rtol=1e-5)
    np.testing.assert_allclose(final, vectors(model, [2, 3], [[], []]), rtol=1e-5)
    np.testing.assert_allclose(
        model.view_items(np.array([2]), training=True)[1], (normalized().T @ users)[[2]], rtol=1e-5
    )


def test_training_is_noisy_and_serving_is_not():
    model = make("xsimgcl", embedding_dim=4, noise=0.5)
    query = query_of([2, 3], [[], []])
    assert not np.allclose(model.encode_query(query, training=True), model.encode_query(query, training=True))
    np.testing.assert_array_equal(model.encode_query(query), model.encode_query(query))


def test_a_history_gives_the_vector_of_a_known_user():
    check_fold_in(make("xsimgcl", embedding_dim=4))


def test_users_without_edges_are_answered_from_their_histories():
    check_users_without_edges(make("xsimgcl", embedding_dim=4))


def test_a_round_that_there_is_not_cannot_be_compared():
    with pytest.raises(UserError, match=r"must be from 1 to rounds=2\. Received: 3"):
        zoo.build("xsimgcl", num_users=3, num_items=4, compared_round=3)
