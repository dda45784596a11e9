"""Held-out items ranked against the candidates that a dataset lists, as papers with sampled negatives do it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.config import make_config
from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.evaluation import sampled
from zoo.evaluation.protocols import default_protocol, evaluate
from zoo.evaluation.sampled import per_user_sampled_ranking
from zoo.run import Run
from zoo.saving import read_dataset
from zoo.schema import FIRST_KNOWN
from zoo.training.fitting import interaction_matrix


class Table:
    """A model whose scores are given, `[num_user_rows, num_item_rows]`."""

    query_names = ("user",)

    def __init__(self, scores):
        self.scores = tf.constant(scores, tf.float32)

    def encode_catalogue(self):
        return []

    def score_items(self, query, items, catalogue):
        return tf.gather(tf.gather(self.scores, query["user"]), items, batch_dims=1)


def data_with(held_out: dict[str, list[str]], candidates: dict[str, list[str]], num_items: int = 6) -> Dataset:
    """Users who have seen the item z, with items to find and candidates, all by name; items are a, b, c, ..., z."""
    names = [chr(ord("a") + i) for i in range(num_items)]
    rows = [("everybody", name, "train") for name in names]
    for user, items in held_out.items():
        rows += [(user, "z", "train"), *((user, item, "test") for item in items)]
    data = prepare(pd.DataFrame(rows, columns=["user", "item", "split"]), name="listed")
    listed = np.zeros((data.num_users, max(map(len, candidates.values()))), np.int32)
    for user, items in candidates.items():
        listed[data.vocabularies["user"].index([user])[0], : len(items)] = data.vocabularies["item"].index(items)
    return dataclasses.replace(data, candidates={"test": listed})


def table_of(data: Dataset, scores: dict[str, dict[str, float]]) -> Table:
    values = np.zeros((data.num_users, data.num_items))
    for user, of_user in scores.items():
        row = data.vocabularies["user"].index([user])[0]
        values[row, data.vocabularies["item"].index(of_user)] = list(of_user.values())
    return Table(values)


def test_each_user_has_the_rank_of_the_held_out_item_among_the_candidates():
    data = data_with({"ann": ["a"], "bob": ["b"]}, {"ann": ["c", "d", "e"], "bob": ["c", "d", "e"]})
    # Nobody lists z and f, which score highest. Ann's item is second, and Bob's is last of four.
    scores = {
        "ann": {"a": 2, "c": 3, "d": 1, "e": 0, "f": 9, "z": 9},
        "bob": {"b": 0, "c": 3, "d": 1, "e": 2, "f": 9, "z": 9},
    }
    users, per_user = per_user_sampled_ranking(table_of(data, scores), data, "test", (1, 2, 4))
    assert data.vocabularies["user"].lookup(users).tolist() == ["ann", "bob"]
    assert per_user["hr@1"].tolist() == [0, 0]
    assert per_user["hr@2"].tolist() == [1, 0]
    assert per_user["ndcg@4"].tolist() == pytest.approx([1 / math.log2(3), 1 / math.log2(5)])
    assert per_user["mrr@4"].tolist() == [1 / 2, 1 / 4]


def test_the_held_out_item_ranks_last_among_equal_scores():
    data = data_with({"ann": ["a"]}, {"ann": ["b", "c", "d"]})
    everything_alike = table_of(data, {})
    _, per_user = per_user_sampled_ranking(everything_alike, data, "test", (3, 4))
    assert per_user["hr@3"] == 0
    assert per_user["mrr@4"] == 1 / 4


def test_a_candidate_that_is_itself_held_out_is_no_competitor():
    data = data_with({"ann": ["a"]}, {"ann": ["a", "b", "c"]})
    scores = {"ann": {"a": 1, "b": 0, "c": 2}}
    _, per_user = per_user_sampled_ranking(table_of(data, scores), data, "test", (4,))
    assert per_user["mrr@4"] == 1 / 2


def test_several_held_out_items_are_ranked_together():
    data = data_with({"ann": ["a", "b"]}, {"ann": ["c", "d"]})
    scores = {"ann": {"a": 4, "b": 1, "c": 3, "d": 0}}
    _, per_user = per_user_sampled_ranking(table_of(data, scores), data, "test", (1, 2, 3))
    assert per_user["recall@1"] == 1 / 2
    assert per_user["recall@2"] == 1 / 2
    assert per_user["recall@3"] == 1
    assert per_user["ndcg@3"] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))


def test_lists_may_be_of_different_lengths():
    data = data_with({"ann": ["a"], "bob": ["a"]}, {"ann": ["b"], "bob": ["b", "c", "d"]})
    alike = table_of(data, {})
    _, per_user = per_user_sampled_ranking(alike, data, "test", (2, 4))
    assert per_user["mrr@4"].tolist() == [1 / 2, 1 / 4]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_ranks_are_those_of_sorting_a_dictionary_of_scores(draw):
    """The code of He et al. (2017) keeps scores by item, so an item twice in the list counts once."""
    names = list("abcdefgh")
    negatives = draw.draw(st.lists(st.sampled_from(names), min_size=1, max_size=6, unique=True))
    positive = draw.draw(st.sampled_from(names))
    scores = {name: draw.draw(st.integers(0, 3)) for name in names}
    data = data_with({"ann": [positive]}, {"ann": negatives}, num_items=8)
    _, per_user = per_user_sampled_ranking(table_of(data, {"ann": scores}), data, "test", (1,))
    of_listed = {item: scores[item] for item in [*negatives, positive]}
    ahead = sum(score >= scores[positive] for item, score in of_listed.items() if item != positive)
    assert per_user["hr@1"] == (ahead == 0)


# With real models


@pytest.fixture(scope="module")
def small(datasets):
    """The small data with 12 candidates for everyone."""
    data = datasets["ids"]
    rng = np.random.default_rng(0)
    listed = np.stack([rng.permutation(np.arange(FIRST_KNOWN, data.num_items))[:12] for _ in range(data.num_users)])
    return dataclasses.replace(data, candidates={"test": listed.astype(np.int32)})


def model_of(name, data):
    model = zoo.build(name, data.schema, **zoo.info(name).tiny)
    if model.solver is not None:
        model.solver(interaction_matrix(data))
    return model


@pytest.mark.parametrize("name", ["mf", "ncf", "autoencoder", "popularity"])
def test_every_family_is_asked_for_the_scores_it_gives(small, name):
    model = model_of(name, small)
    users, per_user = per_user_sampled_ranking(model, small, "test", (5,))
    for row, user in enumerate(users):
        test = small.part("test")
        positives = test.loc[test["user"] == user, "item"].tolist()
        competitors = [item for item in small.candidates["test"][user].tolist() if item not in positives]
        listed = np.array([competitors + positives], np.int32)
        query = small.queries(model.query_names, np.array([user]), "train", "query", "valid")
        (scores,) = model.score(query, listed).tolist()
        ranked = sorted(range(len(scores)), key=lambda place, scores=scores: (-scores[place], place))[:5]
        assert per_user["recall@5"][row] == pytest.approx(
            sum(place >= len(competitors) for place in ranked) / len(positives)
        )


def test_users_in_small_batches_have_the_same_metrics(small, monkeypatch):
    model = model_of("mf", small)
    _, expected = per_user_sampled_ranking(model, small, "test", (5,))
    monkeypatch.setattr(sampled, "USERS_AT_ONCE", 3)
    _, got = per_user_sampled_ranking(model, small, "test", (5,))
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values)


def test_the_protocol_says_that_it_is_sampled_and_has_intervals(small):
    evaluation = evaluate(model_of("popularity", small), small, "sampled-ranking", ks=(3,), resamples=20)
    assert evaluation.protocol == "sampled-ranking"
    assert "against 12 candidates listed in the data" in evaluation.about
    assert "it serves only to reproduce papers" in evaluation.about
    assert len(evaluation.per_user["hr@3"]) == len(evaluation.users)
    interval = evaluation.metrics["hr@3"]
    assert interval.low <= interval.mean <= interval.high


def test_the_protocol_is_the_default_only_for_a_part_with_candidates(small, datasets):
    config, model = make_config("popularity", {"evaluate": {"resamples": 10}}), model_of("popularity", small)
    run = Run(model, small, config, [])
    assert run.evaluate().protocol == "sampled-ranking"
    assert run.evaluate(part="valid").protocol == "full-ranking"
    assert run.evaluate("full-ranking").protocol == "full-ranking"
    assert default_protocol(run.model, config, datasets["ids"]) == "full-ranking"


def test_candidates_are_saved_with_the_data(small, datasets, tmp_path):
    small.save(tmp_path)
    np.testing.assert_array_equal(read_dataset(tmp_path).candidates["test"], small.candidates["test"])
    without = tmp_path / "without"
    without.mkdir()
    datasets["ids"].save(without)
    assert read_dataset(without).candidates == {}
    assert not (without / "candidates.npz").exists()


# Mistakes


def test_a_catalogue_that_is_too_small_to_draw_from_is_refused(small, datasets):
    model = model_of("popularity", small)
    with pytest.raises(UserError, match=r"is 100, and the catalogue has only 30 items.*evaluate\.negatives\.number=15"):
        evaluate(model, datasets["ids"], "sampled-ranking")
    with pytest.raises(UserError, match="the catalogue has only 30 items"):
        evaluate(model, small, "sampled-ranking", part="valid")


def test_a_user_without_candidates_is_named():
    data = data_with({"ann": ["a"], "bob": ["b"]}, {"ann": ["c"]})
    with pytest.raises(UserError, match="listed: user 'bob' has items in the test part and no candidates"):
        per_user_sampled_ranking(table_of(data, {}), data, "test", (1,))


def test_a_cut_deeper_than_the_list_is_refused():
    data = data_with({"ann": ["a"]}, {"ann": ["b", "c"]})
    with pytest.raises(UserError, match=r"k from 1 to the 3 ranks given\. Received: 4"):
        per_user_sampled_ranking(table_of(data, {}), data, "test", (4,))


def test_nothing_to_find_is_refused():
    data = data_with({"ann": ["a"]}, {"ann": ["b", "c"]})
    data = dataclasses.replace(data, interactions=data.interactions.assign(label=np.float32(0)))
    with pytest.raises(UserError, match="No user has a new item with a label above 0 in the test part of listed"):
        per_user_sampled_ranking(table_of(data, {}), data, "test", (1,))
