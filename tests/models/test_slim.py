from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import zoo
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, Schema


def solved(likes, **hparams):
    schema = Schema.of_ids(*likes.shape, history_length=likes.shape[1])
    model = zoo.build("slim", schema, **hparams)
    model.solver(csr_matrix(np.pad(likes, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    return model


def scores(model, histories):
    items = np.arange(FIRST_KNOWN, model.num_items)
    query = {"history": np.where(histories, items, 0), "history_rating": histories}
    return model.score(query, np.tile(items, (len(histories), 1)))


def some_likes(num_users=40, num_items=8):
    return np.random.default_rng(0).integers(0, 2, (num_users, num_items)).astype(np.float32)


def test_a_score_is_the_sum_of_the_weights_of_the_liked_items():
    likes = some_likes()
    model = solved(likes, neighbors=7, l1=0.5, l2=2.0)
    weights = scores(model, np.eye(8, dtype=np.float32))
    np.testing.assert_allclose(scores(model, likes), likes @ weights, rtol=1e-5)
    assert (weights >= 0).all()
    np.testing.assert_array_equal(np.diag(weights), 0)


def test_no_single_weight_can_be_changed_for_the_better():
    likes = some_likes()
    weights = scores(solved(likes, neighbors=7, l1=0.5, l2=2.0), np.eye(8, dtype=np.float32)).astype(np.float64)
    slope = likes.T @ (likes @ weights - likes) + 2.0 * weights + 0.5
    # The slope is 0 where a weight is above 0, and not below 0 where the weight cannot fall.
    np.testing.assert_allclose(slope[weights > 0], 0, atol=1e-3)
    off_diagonal = ~np.eye(8, dtype=bool)
    assert (slope[off_diagonal & (weights == 0)] >= -1e-3).all()


def test_an_item_has_no_more_weights_than_neighbours():
    weights = scores(solved(some_likes(), neighbors=2, l1=0.0), np.eye(8, dtype=np.float32))
    assert ((weights > 0).sum(axis=0) <= 2).all()


@pytest.mark.parametrize("hparams", [{"neighbors": 0}, {"l1": -1.0}, {"l2": 0.0}])
def test_hparams_that_mean_nothing_are_refused(hparams):
    with pytest.raises(UserError, match=r"slim: neighbors must be at least 1, l1 at least 0 and l2 above 0\. Received"):
        zoo.build("slim", num_users=3, num_items=4, **hparams)
