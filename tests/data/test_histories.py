"""The history before an interaction is the same in training, in evaluation and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.dataset import Dataset
from zoo.data.examples import make_examples
from zoo.data.preparation import prepare
from zoo.evaluation.scores import score_rows
from zoo.layers import largest_label
from zoo.saving import read_dataset
from zoo.schema import Schema

NAMES = ["user", "history", "history_rating", "history_age"]
DAY = 86_400
LENGTH = 4


def dataset_of(seed: int, warm_up: int = 2, number: int = 60) -> Dataset:
    """Ratings of a few users, several of them at the same second."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user": rng.integers(0, 5, number),
            "item": rng.permutation(number),
            "rating": rng.integers(1, 6, number),
            "timestamp": np.sort(rng.integers(0, 20, number)) * 3600.0,
        }
    )
    split = {"name": "time", "valid": 0.2, "test": 0.2, "warm_up": warm_up}
    return prepare(frame, label_threshold=3, max_history=LENGTH, split=split)


def before_by_hand(data: Dataset, place: int) -> dict[str, list[float]]:
    """The last events of the same user in the rows above this one, from the raw ratings and seconds."""
    row, above = data.interactions.iloc[place], data.interactions.iloc[:place]
    events = above[above["user"] == row["user"]].tail(LENGTH)
    missing = [0] * (LENGTH - len(events))
    return {
        "history": [*missing, *events["item"]],
        "history_rating": [*missing, *((events["rating"] - 3) / 5)],
        "history_age": [*missing, *((row["timestamp"] - events["timestamp"]) / DAY)],
    }


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_a_held_out_row_is_asked_with_all_that_its_user_did_before_that_very_row(seed):
    data = dataset_of(seed)
    rows = data.part("valid", "test").sample(frac=1.0, random_state=seed)
    query = data.queries_before(NAMES, rows)
    np.testing.assert_array_equal(query["user"], rows["user"])
    for number, place in enumerate(rows.index):
        for name, expected in before_by_hand(data, place).items():
            np.testing.assert_allclose(query[name][number], expected, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_training_sees_before_an_example_what_evaluation_would(seed):
    data = dataset_of(seed)
    examples = make_examples(data, NAMES)
    made = examples.at(tf.range(examples.num_examples))
    rows = data.part("train").sort_values("user", kind="stable")
    np.testing.assert_array_equal(made.items, rows["item"])
    for name, values in data.queries_before(NAMES, rows).items():
        np.testing.assert_allclose(made.query[name], values, atol=1e-6)


def test_first_interactions_stand_in_histories_and_are_no_examples():
    data = dataset_of(0, warm_up=2)
    first = data.interactions.groupby("user").head(2)
    assert set(first["part"]) == {"query"}
    assert "query" not in set(data.interactions.drop(first.index)["part"])
    examples = make_examples(data, NAMES)
    made = examples.at(tf.range(examples.num_examples))
    assert not set(first["item"]) & set(made.items.numpy())
    assert set(first["item"]) & set(made.query["history"].numpy().ravel())
    assert examples.item_counts.sum() == examples.num_examples == (data.interactions["part"] == "train").sum()


def test_ratings_above_the_threshold_are_liked_and_keep_their_stars():
    frame = pd.DataFrame({"user": 1, "item": range(5), "rating": [1, 2, 3, 4, 5], "timestamp": range(5)})
    data = prepare(frame, label_threshold=3, split={"name": "time", "valid": 0, "test": 0})
    assert data.interactions["label"].tolist() == [0, 0, 0, 1, 1]
    ratings = data.event_ratings(data.interactions)
    np.testing.assert_allclose(ratings, [-0.4, -0.2, 0, 0.2, 0.4], atol=1e-6)
    feature = data.schema["history_rating"]
    np.testing.assert_allclose(ratings * feature.std + feature.mean, frame["rating"], atol=1e-6)


def test_ratings_are_shares_of_the_largest_without_a_threshold():
    frame = pd.DataFrame({"user": 1, "item": range(3), "rating": [1, 2, 4]})
    data = prepare(frame, split={"name": "random", "valid": 0, "test": 0})
    np.testing.assert_allclose(data.event_ratings(data.interactions), [0.25, 0.5, 1.0])
    assert "history_age" not in data.schema


def test_a_user_is_asked_about_at_the_first_held_out_moment_or_else_at_the_latest_of_the_data():
    frame = pd.DataFrame(
        {
            "user": ["a", "a", "a", "b", "c"],
            "item": range(5),
            "timestamp": [0.0, 1 * DAY, 5 * DAY, 2 * DAY, 9 * DAY],
            "split": ["train", "train", "test", "train", "test"],
        }
    )
    data = prepare(frame)
    a, b = data.vocabularies["user"].index(["a", "b"])
    asked = data.queries(["history_age"], np.array([a, b]), "train", context="test")["history_age"]
    np.testing.assert_allclose(asked[:, -2:], [[5, 4], [0, 7]])
    latest = data.queries(["history_age"], np.array([a, b]), "train", "test")["history_age"]
    np.testing.assert_allclose(latest, [[9, 8, 4], [0, 0, 7]])


def test_later_events_are_no_time_ago():
    """In a split at random the rest of a history may be later than the moment asked about."""
    frame = pd.DataFrame({"user": 1, "item": range(3), "timestamp": [0.0, DAY, 3 * DAY]})
    data = prepare(frame, split={"name": "random", "valid": 0, "test": 0})
    examples = make_examples(data, NAMES)
    query = examples.at(tf.constant([1]), completes=True).query
    np.testing.assert_allclose(query["history_age"][0, -2:], [1, 0])


def test_a_dataset_that_was_saved_asks_the_same(tmp_path):
    data = dataset_of(3)
    data.save(tmp_path)
    again, rows = read_dataset(tmp_path), data.part("test")
    for name, values in data.queries_before(NAMES, rows).items():
        np.testing.assert_array_equal(again.queries_before(NAMES, again.part("test"))[name], values)


@pytest.mark.parametrize("name", ["rating", "history_age", "timestamp"])
def test_a_context_column_may_share_a_name_that_is_taken(name):
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 3], "label": [1, 0, 1], "when": [1, 2, 3]})
    frame = frame.rename(columns={"when": "timestamp"}) if name == "timestamp" else frame
    frame = frame if name == "timestamp" else frame.assign(**{name: ["x", "y", "x"]})
    options = {} if name == "timestamp" else {"features": {name: {"kind": "categorical", "at_request": True}}}
    data = prepare(frame, split={"name": "random", "valid": 0, "test": 0}, **options)
    assert [feature.name for feature in data.schema.role("context")] == (
        [] if name == "timestamp" else [f"context_{name}"]
    )


def test_a_held_out_label_is_asked_about_at_its_own_moment():
    """The query with the history of before its part, as the protocols `labels` and `ratings` have it."""
    data = dataset_of(1)
    asked = []

    class Asked:
        query_names = NAMES

        def score(self, query, items):
            asked.append(query["history_age"])
            return np.zeros(len(items), np.float32)

    rows = data.part("test")
    score_rows(Asked(), data, rows, "test")
    known = data.part("train", "query", "valid")
    for number, (_, row) in enumerate(rows.iterrows()):
        events = known[known["user"] == row["user"]].tail(LENGTH)
        expected = [0] * (LENGTH - len(events)) + [
            max(row["timestamp"] - time, 0) / DAY for time in events["timestamp"]
        ]
        np.testing.assert_allclose(np.concatenate(asked)[number], expected, atol=1e-6)


def test_a_threshold_of_0_is_a_threshold():
    frame = pd.DataFrame({"user": 1, "item": range(3), "rating": [-1, 0, 2]})
    schema = prepare(frame, label_threshold=0, split={"name": "random", "valid": 0, "test": 0}).schema
    assert schema["history_rating"].threshold == 0
    assert largest_label(schema) == 1
    assert Schema.from_json(schema.to_json()) == schema


def test_a_rating_at_the_threshold_is_not_liked():
    frame = pd.DataFrame({"user": 1, "item": range(2), "rating": [3.4, 3.5]})
    data = prepare(frame, label_threshold=3.4, split={"name": "random", "valid": 0, "test": 0})
    assert data.interactions["label"].tolist() == [0, 1]
    assert ((data.event_ratings(data.interactions) > 0) == [False, True]).all()
