from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError


def test_a_score_is_the_sum_of_the_weights_of_what_is_known(by_hand):
    _, scores, example = by_hand("logistic")
    np.testing.assert_allclose(scores, example.linear, rtol=1e-5)


def test_queries_and_items_add_up_and_do_not_interact(datasets):
    dataset = datasets["text"]
    model = zoo.build("logistic", dataset.schema)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    model.adapt(items=dataset.items)
    query = dataset.queries(model.query_names, np.arange(2, 12), "train")
    scores = model.score(query, np.tile(np.arange(2, 30), (10, 1)))
    differences = scores - scores[:1]
    np.testing.assert_allclose(differences, np.tile(differences[:, :1], (1, 28)), atol=1e-4)


def test_every_feature_counts(features_that_count):
    known = {"user", "age", "group", "device", "history", "history_rating", "title", "year", "genres"}
    assert features_that_count("logistic") == known


@pytest.mark.parametrize(("hparams", "message"), [({"id_dropout": 1.0}, "id_dropout"), ({"recent": 0}, "recent")])
def test_shares_and_lengths_that_are_none_are_refused(hparams, message):
    with pytest.raises(UserError, match=message):
        zoo.build("logistic", **hparams)
