from __future__ import annotations

import numpy as np
from graphs import LIKED, check_users_without_edges, make, vectors

from zoo.layers import Embedding


def test_a_known_user_has_its_own_vector_and_a_new_one_what_the_rounds_settle_on():
    model = make("ultragcn", embedding_dim=4)
    settled = model.get_layer("settled_users")
    users, items = (table.get_weights()[0] for table in (settled.users, settled.items))
    assert isinstance(settled.users, Embedding)
    known, new = vectors(model, [2, 1], [[], [3, 6]])
    np.testing.assert_allclose(known, users[2], rtol=1e-6)
    degrees = (LIKED > 0).sum(axis=0)
    expected = sum(np.sqrt(3 / (degrees[item] + 1)) / 2 * items[item] for item in (3, 6))
    np.testing.assert_allclose(new, expected, rtol=1e-5)


def test_users_without_edges_are_answered_from_their_histories():
    check_users_without_edges(make("ultragcn", embedding_dim=4))
