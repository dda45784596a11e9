from __future__ import annotations

import numpy as np
import pytest
from graphs import LIKED, check_fold_in, check_users_without_edges, make, normalized, part, vectors

import zoo
from zoo.errors import UserError


def by_powers(model, rounds):
    """The mean of the powers of the normalized adjacency matrix, applied to what nodes start with."""
    start = np.concatenate([part(model, f"{of}_start").get_weights()[0] for of in ("user", "item")]).astype(np.float64)
    users, items = LIKED.shape
    adjacency = np.block([[np.zeros((users, users)), normalized()], [normalized().T, np.zeros((items, items))]])
    powers = [np.linalg.matrix_power(adjacency, power) for power in range(rounds + 1)]
    return np.split(np.mean(powers, axis=0) @ start, [users])


@pytest.mark.parametrize("rounds", [1, 3])
def test_vectors_are_means_of_matrix_powers(rounds):
    model = make("lightgcn", embedding_dim=4, rounds=rounds)
    users, items = by_powers(model, rounds)
    np.testing.assert_allclose(vectors(model, range(2, 7), [[]] * 5), users[2:7], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.encode_catalogue()[0], items, rtol=1e-5, atol=1e-6)


def test_training_propagates_as_serving_does():
    model = make("lightgcn", embedding_dim=4, rounds=2)
    query = {"user": np.arange(2, 7), "history": np.zeros((5, 5), int), "history_rating": np.zeros((5, 5))}
    np.testing.assert_allclose(model.encode_query(query, training=True), model.encode_query(query), rtol=1e-5)
    items = np.arange(10)
    np.testing.assert_allclose(model.encode_items(items, training=True), model.encode_items(items), rtol=1e-5)


def test_a_history_gives_a_known_user_up_to_its_own_start():
    model = make("lightgcn", embedding_dim=4, rounds=3)
    own = part(model, "user_start").get_weights()[0][2] / 4
    known, folded = vectors(model, [2, 1], [[], [2, 3, 4]])
    # Items have learned of the user too, which takes part in what they send.
    assert not np.allclose(known - own, folded + own)
    np.testing.assert_allclose(known - own, folded, rtol=1e-5, atol=1e-6)
    check_fold_in(model)


def test_users_without_edges_are_answered_from_their_histories():
    check_users_without_edges(make("lightgcn", embedding_dim=4))


def test_a_known_user_needs_no_history():
    model = make("lightgcn", embedding_dim=4)
    np.testing.assert_array_equal(vectors(model, [2], [[]]), vectors(model, [2], [[7, 8]]))


def test_less_than_a_round_is_refused():
    with pytest.raises(UserError, match=r"rounds must be at least 1\. Received: 0"):
        zoo.build("lightgcn", num_users=3, num_items=4, rounds=0)
