from __future__ import annotations

import dataclasses
import doctest

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import zoo
from zoo.data import prepare
from zoo.errors import UserError
from zoo.evaluation import ranking
from zoo.evaluation.hits import is_among
from zoo.evaluation.ranking import items_to_find, per_user_ranking
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.schema import FIRST_KNOWN


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


def with_random_weights(name, schema, **hparams):
    model = zoo.build(name, schema, **hparams)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def factorization(small):
    return with_random_weights("mf", small.schema, embedding_dim=4)


@pytest.fixture
def calls(factorization, monkeypatch):
    """The shapes of `exclude` in every call of `recommend`."""
    shapes, recommend = [], factorization.recommend

    def noting(query, k, **lists):
        shapes.append(lists["exclude"].shape)
        return recommend(query, k, **lists)

    monkeypatch.setattr(factorization, "recommend", noting)
    return shapes


@pytest.mark.parametrize("name", ["mf", "ncf", "autoencoder", "lstm", "popularity"])
def test_no_candidates_and_candidates_of_padding_give_the_same_ranking_to_the_last_bit(small, name):
    model = with_random_weights(name, small.schema)
    users = np.arange(small.num_users)
    query = small.queries(model.query_names, users, "train")
    exclude, _ = small.sequences("train").padded(users)
    items, scores = model.recommend(query, 7, exclude=exclude)
    same_items, same_scores = model.recommend(query, 7, exclude=exclude, candidates=np.zeros((len(users), 1), np.int32))
    np.testing.assert_array_equal(items, same_items)
    np.testing.assert_array_equal(scores, same_scores)


def test_places_are_empty_where_too_few_items_are_left(small, factorization):
    everything = np.arange(FIRST_KNOWN, small.num_items)
    items, scores = factorization.recommend({"user": [2, 3]}, 5, exclude=np.tile(everything[2:], (2, 1)))
    assert sorted(items[0]) == sorted(items[1]) == [0, 0, 0, *everything[:2]]
    assert (items[:, 2:] == 0).all()
    assert (scores[:, 2:] == np.float32(NO_ITEM_SCORE)).all()


def test_an_exclusion_may_be_repeated_and_may_be_padding_only(small, factorization):
    first, _ = factorization.recommend({"user": [2]}, 3)
    again, _ = factorization.recommend({"user": [2]}, 3, exclude=[[0, 0]])
    np.testing.assert_array_equal(again, first)
    best = first[0, 0]
    without, _ = factorization.recommend({"user": [2]}, 2, exclude=[[best, 0, best]])
    np.testing.assert_array_equal(without, first[:, 1:])


# Items to find


def dataset_of(rows):
    """A dataset of rows `(user, item, part)` or `(user, item, part, rating)`."""
    table = [(user, item, part, rating[0] if rating else 1.0) for user, item, part, *rating in rows]
    frame = pd.DataFrame(table, columns=["user", "item", "split", "rating"])
    data = prepare(frame, name="hand-made", split="given", duplicates="keep")
    return dataclasses.replace(data, interactions=data.interactions.assign(label=frame["rating"].astype(np.float32)))


def found(data, part):
    users, rows, items = items_to_find(data, part)
    raw_users = data.vocabularies["user"].lookup(users)[rows]
    return list(zip(raw_users.tolist(), data.vocabularies["item"].lookup(items).tolist(), strict=True))


def test_items_to_find_are_new_liked_and_counted_once():
    data = dataset_of(
        [
            (1, 10, "train"),
            (1, 20, "test"),
            (1, 20, "test"),  # once more
            (1, 30, "test", 0.0),  # a label of 0
            (2, 10, "train"),
            (2, 20, "valid"),
            (2, 10, "test"),  # seen in train
            (2, 20, "test"),  # seen in valid
            (2, 30, "test"),
            (3, 10, "test"),  # known of nobody before
        ]
    )
    assert found(data, "test") == [(1, 20), (2, 30), (3, 10)]
    assert found(data, "valid") == [(2, 20)]


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 6), st.sampled_from(["train", "valid", "test"]), st.booleans()),
        max_size=40,
    )
)
@settings(max_examples=40, deadline=None)
def test_items_to_find_equal_set_arithmetic(rows):
    # One row is of train, because there is no split without one.
    data = dataset_of([(1, 1, "train"), *((user, item, part, float(liked)) for user, item, part, liked in rows)])
    seen = {(1, 1)} | {(user, item) for user, item, part, _ in rows if part != "test"}
    expected = {(user, item) for user, item, part, liked in rows if part == "test" and liked} - seen
    if expected:
        assert found(data, "test") == sorted(expected)
    else:
        with pytest.raises(UserError, match="No user has a new item with a label above 0 in the test part"):
            items_to_find(data, "test")


@given(st.lists(st.integers(0, 9), max_size=8), arrays.arrays(np.int64, (2, 3), elements=st.integers(-1, 11)))
@settings(max_examples=40, deadline=None)
def test_is_among_equals_isin(known, values):
    known = np.sort(np.array(known, np.int64))
    np.testing.assert_array_equal(is_among(values, known), np.isin(values, known))


# Calls


def test_calls_of_few_users_give_the_same_metrics(small, factorization, calls, monkeypatch):
    users, expected = per_user_ranking(factorization, small, "test", (5, 10))
    calls.clear()
    monkeypatch.setattr(ranking, "MOST_USERS", 3)
    again, got = per_user_ranking(factorization, small, "test", (5, 10))
    assert max(size for size, _ in calls) == 3
    np.testing.assert_array_equal(again, users)
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values)


@pytest.mark.parametrize(("fewest", "users_at_once"), [(1, 5), (7, 7)])
def test_the_scores_of_a_call_are_bounded_except_by_the_fewest_users(
    small, factorization, calls, monkeypatch, fewest, users_at_once
):
    monkeypatch.setattr(ranking, "FEWEST_USERS", fewest)
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 5 * small.num_items)
    users, _ = per_user_ranking(factorization, small, "test", (10,))
    assert sum(size for size, _ in calls) == len(users)
    assert max(size for size, _ in calls) == users_at_once


def test_users_of_a_call_have_histories_of_like_length(small, factorization, calls, monkeypatch):
    monkeypatch.setattr(ranking, "MOST_USERS", 4)
    per_user_ranking(factorization, small, "test", (10,))
    widths = [width for _, width in calls]
    assert widths == sorted(widths)


def test_the_examples_of_the_docstrings_hold():
    failed, attempted = doctest.testmod(ranking)
    assert attempted
    assert not failed
