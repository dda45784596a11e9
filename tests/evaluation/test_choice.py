"""Which protocol a run has by default, and which metric early stopping watches."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import zoo
from zoo.config import make_config
from zoo.errors import UserError
from zoo.evaluation.protocols import PROTOCOLS, default_protocol
from zoo.training.fitting import Fitting

READER = SimpleNamespace(query_names=("user", "history"), scores_are_ratings=False)
NON_READER = SimpleNamespace(query_names=("user",), scores_are_ratings=False)
RATER = SimpleNamespace(query_names=("user", "history"), scores_are_ratings=True)


def watched_by(config, model, data):
    """The function that validates between epochs, and the metric that early stopping watches."""
    found = Fitting(config, (), start=lambda *_: None)._validation(model, data)
    return found.validate, found.monitor


def chosen(model, *, feedback=None, binary=True, in_time=True, listed=(), part="test"):
    options = {} if feedback is None else {"options": {"feedback": feedback}}
    data = SimpleNamespace(has_binary_labels=binary, is_split_in_time=in_time, candidates=dict.fromkeys(listed))
    return default_protocol(model, make_config("ncf", {"train": options}), data, part)


def test_labels_split_in_time_are_asked_in_that_order_only_of_a_model_that_reads_histories():
    assert chosen(READER) == chosen(READER, feedback="explicit") == "ctr"
    assert chosen(NON_READER) == chosen(NON_READER, feedback="explicit") == "labels"
    assert chosen(READER, in_time=False) == "labels"


def test_ratings_are_asked_of_a_model_that_learned_them_whatever_else_fits():
    assert chosen(RATER, listed=["test"]) == "ratings"


def test_a_ranking_is_asked_of_a_model_that_learned_likings():
    assert chosen(READER, feedback="implicit") == "full-ranking"
    assert chosen(READER, binary=False) == "full-ranking"


def test_listed_candidates_are_ranked_in_their_part_only():
    assert chosen(READER, feedback="implicit", listed=["test"]) == "sampled-ranking"
    assert chosen(READER, feedback="implicit", listed=["test"], part="valid") == "full-ranking"
    assert chosen(READER, feedback="explicit", listed=["test"]) == "ctr"


def test_early_stopping_watches_one_metric_of_each_protocol():
    assert {name: protocol.monitored_name((7, 3)) for name, protocol in PROTOCOLS.items()} == {
        "ctr": "auc",
        "full-ranking": "ndcg@7",
        "labels": "auc",
        "ratings": "rmse",
        "sampled-ranking": "ndcg@7",
    }


@pytest.fixture(scope="module")
def listed(datasets):
    data = datasets["ids"]
    candidates = np.tile(np.arange(2, 14, dtype=np.int32), (data.num_users, 1))
    return dataclasses.replace(data, candidates={"valid": candidates, "test": candidates})


@pytest.mark.parametrize(
    ("protocol", "watched"), [(None, "ndcg@5"), ("sampled-ranking", "ndcg@5"), ("full-ranking", "ndcg@5")]
)
def test_training_watches_the_metric_of_its_protocol_and_knows_all_of_them(listed, protocol, watched):
    config = make_config("mf", {"evaluate": {"protocol": protocol, "ks": [5]}})
    validate, monitor = watched_by(config, zoo.build("mf", listed.schema), listed)
    assert monitor == watched
    assert list(validate()) == PROTOCOLS[protocol or "sampled-ranking"].metric_names((5,))


def test_a_part_that_does_not_fit_the_protocol_is_refused_before_training(listed):
    config = make_config("mf", {"evaluate": {"protocol": "labels"}})
    rows = listed.interactions
    labels = rows["label"].where(rows["part"] == "test", 1.0)
    assert not rows["label"][rows["part"] == "test"].isin([0, 1]).all()
    data = dataclasses.replace(listed, interactions=rows.assign(label=labels))
    with pytest.raises(UserError, match="needs labels of 0 and 1"):
        watched_by(config, zoo.build("mf", data.schema), data)


def test_the_loss_is_watched_if_there_is_no_validation_part(listed):
    rows = listed.interactions
    data = dataclasses.replace(listed, interactions=rows[rows["part"] != "valid"])
    validate, monitor = watched_by(make_config("mf"), zoo.build("mf", data.schema), data)
    assert (validate(), monitor) == ({}, "loss")
