from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data import prepare
from zoo.data.splits import SPLITS, split
from zoo.errors import UserError

users = st.lists(st.integers(2, 9), min_size=8, max_size=60)


def frame_of(users: list[int], seed: int = 0) -> pd.DataFrame:
    """Interactions of the users, each at a time of its own, in no order."""
    rng = np.random.default_rng(seed)
    times = rng.permutation(len(users)).astype(float)
    return pd.DataFrame({"user": users, "item": rng.integers(2, 30, len(users)), "timestamp": times})


@pytest.mark.parametrize("name", ["leave-last-out", "random", "strong-generalization", "time", "users"])
@settings(max_examples=25, deadline=None)
@given(users=users)
def test_every_interaction_has_one_part_and_all_else_stays(name, users):
    frame = frame_of(users)
    parted, note = split(frame, name)
    pd.testing.assert_frame_equal(parted.drop(columns="part"), frame)
    assert set(parted["part"]) <= {"train", "valid", "test", "query"}
    assert f"{(parted['part'] == 'train').sum()} train" in note


@settings(max_examples=40, deadline=None)
@given(users=users)
def test_leave_last_out_keeps_every_user_in_train_and_tests_what_came_later(users):
    parted, note = split(frame_of(users), "leave-last-out")
    for _, events in parted.sort_values("timestamp").groupby("user"):
        parts = events["part"].tolist()
        expected = {1: ["train"], 2: ["train", "test"]}.get(len(parts))
        assert parts == (expected or ["train"] * (len(parts) - 2) + ["valid", "test"])
    counts = parted["user"].value_counts()
    assert f"{(counts == 1).sum()} users with one interaction" in note
    assert f"{(counts == 2).sum()} with two" in note


def test_leave_last_out_takes_the_later_row_of_equal_times():
    frame = pd.DataFrame({"user": [2] * 4, "item": range(4), "timestamp": [5.0] * 4})
    assert split(frame, "leave-last-out")[0]["part"].tolist() == ["train", "train", "valid", "test"]


@settings(max_examples=25, deadline=None)
@given(users=users, valid=st.floats(0, 0.4), test=st.floats(0, 0.4))
def test_random_deals_the_shares_asked_for(users, valid, test):
    parts = split(frame_of(users), "random", valid=valid, test=test)[0]["part"]
    assert (parts == "test").sum() == round(len(users) * test)
    assert (parts == "valid").sum() == round(len(users) * valid)


def test_the_seed_decides_a_random_split():
    frame = frame_of([2] * 50)
    parts = [split(frame, "random", seed=seed)[0]["part"].tolist() for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]


@settings(max_examples=25, deadline=None)
@given(users=users)
def test_the_split_by_time_trains_on_what_comes_before_the_test(users):
    parted, _ = split(frame_of(users), "time")
    times = {part: rows["timestamp"] for part, rows in parted.groupby("part")}
    assert times["train"].max() < times["test"].min()
    if "valid" in times:
        assert times["train"].max() < times["valid"].min()
        assert times["valid"].max() < times["test"].min()


def test_equal_times_stay_together_in_the_split_by_time():
    frame = frame_of([2] * 20).assign(timestamp=[0.0] * 15 + [1.0] * 5)
    parts = split(frame, "time", valid=0, test=0.1)[0]["part"]
    assert set(parts[:15]) == {"train"}
    assert set(parts[15:]) == {"test"}


@settings(max_examples=40, deadline=None)
@given(users=users, ordered=st.booleans(), holdout=st.floats(0.01, 0.99))
def test_held_out_users_are_never_trained_on_and_have_something_to_query_with(users, ordered, holdout):
    frame = frame_of([*users, 100, 101])  # two who cannot be held out, so that someone is trained on
    frame = frame if ordered else frame.drop(columns="timestamp")
    parted, _ = split(frame, "users", valid=0.3, test=0.3, holdout=holdout)
    for _, events in parted.groupby("user"):
        parts = set(events["part"])
        assert parts in ({"train"}, {"query", "valid"}, {"query", "test"})
        if ordered and "query" in parts:
            asked = events["part"] == "query"
            assert events["timestamp"][asked].max() < events["timestamp"][~asked].min()


def test_held_out_users_are_as_many_as_asked_for():
    parted, note = split(frame_of(list(range(100)) * 5), "users", valid=0.1, test=0.2)
    counts = parted.groupby("part")["user"].nunique()
    assert counts.to_dict() == {"train": 70, "valid": 10, "test": 20, "query": 30}
    assert (parted["part"] == "query").sum() == 120
    assert "10 users held out for valid, 20 for test" in note


def test_a_given_split_is_taken_in_any_case():
    frame = frame_of([2, 3, 4]).assign(where=["Train", "TEST", "valid"])
    parted, _ = split(frame, "given", column="where")
    assert parted["part"].tolist() == ["train", "test", "valid"]
    assert "where" not in parted


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (None, "'given' needs a column 'split'"),
        (["train", "tset", "test"], "'tset'. Did you mean 'test'"),
        (["test"] * 3, "leaves nothing to train on"),
    ],
)
def test_a_given_split_that_cannot_be_used_is_an_error(column, message):
    frame = frame_of([2, 3, 4])
    with pytest.raises(UserError, match=message):
        split(frame if column is None else frame.assign(split=column), "given")


@pytest.mark.parametrize("name", ["leave-last-out", "time"])
def test_a_split_in_order_needs_timestamps_and_says_which_do_not(name):
    others = "'given', 'random', 'strong-generalization' or 'users'"
    with pytest.raises(UserError, match=rf"'{name}' needs a timestamp.*{others}"):
        split(frame_of([2, 3]).drop(columns="timestamp"), name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("leave-last", {}, "Unknown split 'leave-last'. Did you mean 'leave-last-out'"),
        ("random", {"tests": 0.1}, "Unknown option of split 'random' 'tests'. Did you mean 'test'"),
        ("random", {"valid": 0.5, "test": 0.5}, "leave a share for train"),
        ("time", {"valid": -0.1}, "of at least 0"),
        ("users", {"holdout": 1.0}, "holdout between 0 and 1"),
    ],
)
def test_wrong_names_and_options_are_errors(name, options, message):
    with pytest.raises(UserError, match=message):
        split(frame_of([2, 2, 3]), name, **options)


def test_nothing_left_to_train_on_is_an_error():
    with pytest.raises(UserError, match="leaves nothing to train on"):
        split(frame_of([2] * 10).assign(timestamp=0.0), "time")


def test_the_names_of_splits():
    assert sorted(SPLITS) == ["given", "leave-last-out", "random", "strong-generalization", "time", "users"]


@pytest.mark.parametrize(
    ("name", "in_time"), [("leave-last-out", True), ("time", True), ("users", True), ("random", False)]
)
def test_a_dataset_knows_whether_its_split_goes_with_time(name, in_time):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"user": np.repeat(np.arange(20), 12), "item": np.tile(np.arange(12), 20)})
    frame["timestamp"] = rng.permutation(len(frame))
    assert prepare(frame, split=name).is_split_in_time == in_time
    assert not prepare(frame.drop(columns="timestamp"), split="random").is_split_in_time


@settings(max_examples=25, deadline=None)
@given(users=users, warm_up=st.integers(1, 3))
def test_first_interactions_are_only_in_histories_and_the_shares_are_of_the_others(users, warm_up):
    frame = frame_of(users)
    left = sum(max(users.count(user) - warm_up, 0) for user in set(users))
    if round(left * 0.6) == 0:
        return
    parted, note = split(frame, "time", valid=0.2, test=0.2, warm_up=warm_up)
    for _, events in parted.sort_values("timestamp").groupby("user"):
        assert set(events["part"].head(warm_up)) == {"query"}
        assert "query" not in set(events["part"].iloc[warm_up:])
    counts = parted["part"].value_counts()
    assert counts["train"] == round(left * 0.6)
    assert counts.get("train", 0) + counts.get("valid", 0) == round(left * 0.8)
    assert f"the first {warm_up} of every user in histories only" in note


@pytest.mark.parametrize(
    ("warm_up", "message"),
    [
        (-1, "warm_up as an integer of at least 0"),
        *((wrong, f"{wrong!r} is not an integer: option 'warm_up' of split 'time'") for wrong in (2.5, "5")),
    ],
)
def test_a_warm_up_is_a_number_of_interactions(warm_up, message):
    with pytest.raises(UserError, match=message):
        split(frame_of([2, 3]), "time", warm_up=warm_up)


# A split of one's own, in a file that ZOO_PLUGINS names.
OWN = """
import numpy as np
from zoo.data.splits import SPLITS, Split, with_parts

class EveryTenth(Split):
    'Every tenth interaction is for testing.'

    name = "every-tenth"

    def divide(self, frame, first: int = 0):
        parts = np.where(np.arange(len(frame)) % 10 == first, "test", "train")
        return with_parts(frame, parts, f"every tenth from {first} on")

SPLITS.register(EveryTenth())
"""
SPLIT = """
import pandas as pd
from zoo.data import load_dataset
from zoo.errors import UserError
frame = pd.DataFrame({"user": range(40), "item": range(40)})
data = load_dataset(frame, split={"name": "every-tenth", "first": 3})
print(data.notes, data.interactions.index[data.interactions["part"] == "test"].tolist())
try:
    load_dataset(frame, split={"name": "every-tenth", "frist": 3})
except UserError as error:
    print(error)
"""


def test_a_file_of_ones_own_adds_a_split(run_with_plugin):
    printed = run_with_plugin(OWN, SPLIT)
    assert "Split: every tenth from 3 on: 36 train, 0 valid, 4 test." in printed
    assert "[3, 13, 23, 33]" in printed
    assert "Unknown option of split 'every-tenth' 'frist'. Did you mean 'first'" in printed
