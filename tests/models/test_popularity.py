from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

import zoo


def test_a_score_is_the_share_of_users_who_liked_the_item_whoever_asks():
    labels = np.zeros((6, 5))
    labels[2:, 2:] = [[5, 0, 1], [1, -2, 0], [2, 3, 0], [0, 0, 0]]
    model = zoo.build("popularity", num_users=4, num_items=3)
    assert model.solver is not None
    model.solver(csr_matrix(labels))
    found = model.score({"user": np.arange(6)}, np.tile([2, 3, 4], (6, 1)))
    np.testing.assert_array_equal(found, np.tile([3 / 4, 1 / 4, 1 / 4], (6, 1)))
