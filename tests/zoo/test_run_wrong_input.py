"""`Run.recommend` refuses what is no list of ids or records, and says what it wants."""

from __future__ import annotations

import uuid

import numpy as np
import pandas as pd
import pytest

from zoo.errors import UserError

FRAME = pd.DataFrame({"user": ["u00", "u01"], "item": [100, 101]})


@pytest.fixture(scope="module")
def run(make_run, datasets):
    return make_run("mf", datasets["features"])


def test_no_users_are_refused(run):
    with pytest.raises(UserError, match="Expected a list of at least one user"):
        run.recommend([])


@pytest.mark.parametrize("what", ["users", "exclude", "candidates"])
@pytest.mark.parametrize("value", ["u00", b"u00", 7, {"age": 34}, 7.5, True])
def test_a_single_value_is_not_a_list(run, what, value):
    with pytest.raises(UserError) as error:
        run.recommend(**{"users": ["u00"], what: value})
    assert str(error.value) == f"{what}: {value!r} is no list. Expected a list, for example [{value!r}]."


@pytest.mark.parametrize("what", ["users", "exclude", "candidates"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (FRAME, "a DataFrame of 2 dimensions"),
        (FRAME[["user"]], "a DataFrame of 2 dimensions"),
        (np.array([[100, 101]]), "a ndarray of 2 dimensions"),
        (np.array(100), "a ndarray of 0 dimensions"),
    ],
)
def test_frames_and_matrices_are_not_lists(run, what, value, said):
    with pytest.raises(UserError, match=f"{what}: {said} is no list. .*one column"):
        run.recommend(**{"users": ["u00"], what: value})


@pytest.mark.parametrize("what", ["users", "exclude", "candidates"])
@pytest.mark.parametrize("wrong", [None, np.nan, pd.NA, pd.NaT, True, np.False_, b"u00", ["u00"], np.array([100])])
def test_what_is_no_id_is_named_with_its_place(run, what, wrong):
    ids = [run.dataset.vocabularies["user" if what == "users" else "item"].values[0], wrong]
    with pytest.raises(UserError) as error:
        run.recommend(**{"users": ["u00"], what: ids})
    assert str(error.value) == f"{what}: {wrong!r}, at place 2, is no id. Give a text or a number, or leave it out."


def test_missing_ids_of_a_column_are_refused(run):
    with pytest.raises(UserError, match="users: nan, at place 2, is no id"):
        run.recommend(pd.Series([1.0, np.nan]))


def test_a_place_is_counted_with_the_records(run):
    with pytest.raises(UserError, match="users: None, at place 3, is no id"):
        run.recommend(["u00", {"age": 34}, None])


def test_no_candidates_are_not_the_whole_catalogue(run):
    with pytest.raises(UserError, match="candidates is empty, so there is nothing to choose from"):
        run.recommend(["u00"], k=3, candidates=[])


@pytest.mark.parametrize(
    "users",
    [
        ("u00", "u01"),
        np.array(["u00", "u01"]),
        FRAME["user"],
        pd.Index(["u00", "u01"]),
        {"u00": 1, "u01": 2}.keys(),
        iter(["u00", "u01"]),
    ],
)
def test_whatever_lists_single_values_is_a_list(run, users):
    pd.testing.assert_frame_equal(run.recommend(users, k=3), run.recommend(["u00", "u01"], k=3))


def test_integers_of_any_type_are_ids_of_items(run):
    expected = run.recommend(["u00"], k=3, candidates=[100, 101, 102], exclude_seen=False)
    for ids in (range(100, 103), np.arange(100, 103), np.arange(100.0, 103), ["100", "101", "102"]):
        pd.testing.assert_frame_equal(run.recommend(["u00"], k=3, candidates=ids, exclude_seen=False), expected)


def test_single_values_of_other_types_are_unknown_users(run):
    assert len(run.recommend([uuid.UUID(int=7), 7, 2.5], k=3)) == 9
