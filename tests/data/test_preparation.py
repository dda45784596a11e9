from __future__ import annotations

import csv
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_tables import ALL_TRAIN, events, items_with, prepared

from zoo.data.preparation import prepare
from zoo.data.values import MISSING
from zoo.errors import UserError
from zoo.saving import read_dataset

# Ids


raw_ids = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff"), min_size=1, max_size=6
).filter(lambda text: text == text.strip() and text.lower() not in MISSING)
CANONICAL_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
awkward = st.sampled_from(["007", "7", "0", "-0", "a,b", '"', '""', 'a"b', "\U0001f600", "1.0x", "1e5", "-5", "12"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(raw_ids | awkward, min_size=1, max_size=12, unique=True))
def test_any_string_ids_survive_csv_and_vocabulary(tmp_path, values):
    path = tmp_path / "events.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["user", "item"], *((value, value) for value in values)])
    data = prepare(path, split=ALL_TRAIN)
    for role in ("user", "item"):
        vocabulary = data.vocabularies[role]
        found = vocabulary.lookup(data.interactions[role].to_numpy())
        assert [str(value) for value in found] == values
        assert vocabulary.index(values).tolist() == data.interactions[role].tolist()
        assert vocabulary.is_integer == all(CANONICAL_INTEGER.fullmatch(value) for value in values)


def test_integers_are_integers_and_sorted_as_such():
    data = prepared(pd.DataFrame({"user": [9, 10, 9], "item": ["9", "10", "x"]}))
    assert data.vocabularies["user"].to_json() == [9, 10]
    assert data.vocabularies["item"].to_json() == ["10", "9", "x"]


def test_one_leading_zero_makes_all_ids_strings():
    assert prepared(pd.DataFrame({"user": ["1", "02"], "item": [1, 2]})).vocabularies["user"].to_json() == [
        "02",
        "1",
    ]


def test_integer_ids_that_a_missing_value_made_floats_still_match():
    users = pd.DataFrame({"user": [1.0, 2.0], "team": ["x", "y"]})
    data = prepared(pd.DataFrame({"user": [1, 2], "item": [1, 1]}), users=users)
    assert data.users["team"].tolist() == [1, 1, 2, 3]


@pytest.mark.parametrize("column", ["user", "item"])
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_missing_id_is_an_error(tmp_path, column, blank):
    path = tmp_path / "events.csv"
    path.write_text(f"user,item\n1,1\n{blank},1\n" if column == "user" else f"user,item\n1,1\n1,{blank}\n")
    with pytest.raises(UserError, match=rf"events\.csv, row 3, column '{column}': the {column} id is missing"):
        prepare(path)


# Columns


def test_files_and_frames_give_the_same(tmp_path):
    frame = events(rating=[5.0, 3, 4, 1], timestamp=[1, 2, 3, 4], device=["x", "y", "x", "y"])
    frame.to_csv(tmp_path / "events.csv", index=False)
    frame.to_csv(tmp_path / "events.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "events.parquet")
    expected = prepared(frame)
    for suffix in ("csv", "tsv", "parquet"):
        data = prepared(tmp_path / f"events.{suffix}")
        assert data.schema == expected.schema
        pd.testing.assert_frame_equal(data.interactions, expected.interactions)


def test_columns_may_go_by_other_names():
    frame = pd.DataFrame({"visitor": ["a"], "movieId": [1], "Score": [3], "ts": [9]})
    data = prepared(frame, columns={"visitor": "user"})
    assert list(data.interactions) == ["user", "item", "label", "timestamp", "part"]


def test_a_missing_column_names_the_columns_there_are():
    with pytest.raises(UserError, match=r"interactions: has no column 'item'. Did you mean 'items'\? .*user, items"):
        prepare(pd.DataFrame({"user": [1], "items": [1]}))


def test_a_mapped_column_that_is_nowhere_is_an_error():
    with pytest.raises(UserError, match=r"has no column 'vistor'. Did you mean 'visitor'"):
        prepare(pd.DataFrame({"visitor": [1], "item": [1]}), columns={"vistor": "user"})


def test_a_users_table_needs_users():
    with pytest.raises(UserError, match="users: has no column 'user'"):
        prepared(users=pd.DataFrame({"age": [3]}))


def test_every_label_is_one_without_ratings():
    data = prepared()
    assert data.interactions["label"].tolist() == [1.0] * 4
    assert (data.schema["label"].mean, data.schema["label"].std) == (1.0, 1.0)


def test_the_label_feature_has_the_mean_of_the_training_part():
    frame = events(rating=[1, 3, 5, 5], split=["train", "train", "valid", "test"])
    label = prepare(frame).schema["label"]
    assert (label.mean, label.std) == (2.0, 1.0)


def test_a_threshold_makes_labels_of_ratings():
    data = prepared(events(rating=[3, 3.5, 4, 1]), label_threshold=3)
    assert data.interactions["label"].tolist() == [0, 1, 1, 0]
    with pytest.raises(UserError, match="label_threshold=3 needs a rating column"):
        prepared(label_threshold=3)


def test_a_rating_that_is_not_a_number_is_an_error(tmp_path):
    events(rating=["5", "4", "good", "1"]).to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(UserError, match=r"e\.csv, row 4, column 'rating': .*Received: 'good'"):
        prepare(tmp_path / "e.csv")


def test_a_second_label_is_left_out_with_a_note():
    data = prepared(events(rating=[1, 2, 3, 4], label=[0, 0, 1, 1]))
    assert data.interactions["label"].tolist() == [0, 0, 1, 1]
    assert "rating" not in data.schema
    assert "The column 'rating' was left out because it looks like a second label." in data.notes


def test_the_categories_of_pandas_are_as_good_as_strings():
    frame = events(rating=[1, 2, 3, 4], device=["x", "y", "x", "y"])
    items = items_with(title=["Ten", None, "Thirty"], colour=["red", "blue", None])
    categories = prepared(frame.astype("category"), items=items.astype("category"))
    plain = prepared(frame, items=items)
    assert categories.schema == plain.schema
    pd.testing.assert_frame_equal(categories.interactions, plain.interactions)
    assert categories.titles.tolist() == plain.titles.tolist()


def test_the_id_of_a_table_may_be_called_id():
    items = items_with(colour=["red", "blue", "red"]).rename(columns={"item": "id"})
    assert prepared(items=items).items["colour"].tolist() == [1, 1, 3, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["user"]}, "Expected columns as a mapping"),
        ({"max_history": "9"}, "Expected max_history of at least 1. Received: '9'"),
        ({"label_threshold": "3"}, "Expected label_threshold as a number. Received: '3'"),
        ({"seed": "x"}, "Expected seed as an integer"),
        ({"split": 3}, "Expected split as a name"),
        ({"split": {"name": "random", "valid": "x"}}, "'x' is not a number: option 'valid' of split 'random'"),
    ],
)
def test_arguments_of_a_wrong_type_are_errors(options, message):
    with pytest.raises(UserError, match=message):
        prepared(**options)


# Order, repeats and splits


def test_interactions_are_sorted_by_time_and_stay_in_place_where_it_is_equal():
    data = prepared(events(timestamp=[5, 1, 5, 0]))
    assert data.interactions["timestamp"].tolist() == [0, 1, 5, 5]
    assert data.interactions["user"].tolist() == [3, 2, 2, 3]
    assert "2 of 4 interactions stood after a later one of the same user; all were sorted by time." in data.notes


def test_the_order_of_the_file_stays_without_timestamps():
    data = prepared(pd.DataFrame({"user": ["b", "a", "b"], "item": [1, 1, 2]}))
    assert not data.is_ordered
    assert data.interactions["user"].tolist() == [3, 2, 3]


@pytest.mark.parametrize(("policy", "kept"), [("last", [5.0]), ("first", [1.0]), ("keep", [1.0, 3.0, 5.0])])
def test_repeated_interactions_follow_the_policy_in_time(policy, kept):
    frame = pd.DataFrame({"user": ["a"] * 3, "item": ["x"] * 3, "rating": [5, 1, 3], "timestamp": [9, 1, 2]})
    data = prepared(frame, duplicates=policy)
    assert data.interactions["label"].tolist() == kept
    assert any(f"duplicates={policy!r}" in note for note in data.notes)


def test_an_unknown_policy_is_an_error():
    with pytest.raises(UserError, match=r"Unknown policy for duplicates 'lst'. Did you mean 'last'"):
        prepared(duplicates="lst")


def test_a_split_column_is_used_unless_another_split_is_asked_for():
    frame = events(Split=["train", "Test", "VALID", "train"])
    assert prepare(frame).interactions["part"].tolist() == ["train", "test", "valid", "train"]
    data = prepare(frame, split="random")
    assert "split" not in data.interactions
    assert any("was not used" in note for note in data.notes)


def test_a_wrong_value_in_the_split_column_is_an_error(tmp_path):
    events(split=["train", "test", "dev", "train"]).to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(UserError, match=r"e\.csv, row 4, column 'split': expected one of train, .*'dev'"):
        prepare(tmp_path / "e.csv")


def test_the_default_split_is_random_with_the_seed():
    frame = pd.DataFrame({"user": np.arange(100) % 7, "item": np.arange(100)})
    data = prepare(frame, seed=3)
    assert data.interactions["part"].value_counts().to_dict() == {"train": 70, "test": 20, "valid": 10}
    assert any("seed=3" in note for note in data.notes)


@pytest.mark.parametrize(
    ("split", "message"), [("randm", "Did you mean 'random'"), ({"valid": 0.1}, "a mapping with a 'name'")]
)
def test_a_wrong_split_is_an_error(split, message):
    with pytest.raises(UserError, match=message):
        prepare(events(), split=split)


# Catalogue


def test_the_catalogue_is_what_has_interactions():
    items = pd.DataFrame({"item": [10, 20, 99, 20], "colour": ["red", "blue", "green", "pink"]})
    data = prepared(items=items)
    assert data.vocabularies["item"].to_json() == [10, 20, 30]
    assert data.vocabularies["colour"].to_json() == ["pink", "red"]
    assert data.items["colour"].tolist() == [1, 1, 3, 2, 1]
    assert "1 repeated rows in the items table; the last was kept." in data.notes
    assert data.waiting.frame["item"].tolist() == [99]
    assert "1 items have interactions but no row in the items table; their features are unknown." in data.notes


def test_users_likewise():
    users = pd.DataFrame({"userId": ["b", "c"], "age": [20, 30]})
    data = prepared(users=users, features={"age": "numeric"})
    assert data.users["age"].tolist() == [0, 0, 0, 0]
    assert "1 users of the users table have no interactions; they were left out." in data.notes
    assert "1 users have interactions but no row in the users table; their features are unknown." in data.notes


def test_tables_about_others_are_an_error():
    with pytest.raises(UserError, match="items: none of its items has interactions"):
        prepared(items=pd.DataFrame({"item": ["x", "y"], "c": [1, 2]}))


def test_titles_are_shown_and_fall_back_to_the_id():
    assert prepared().titles.tolist() == ["", "", "10", "20", "30"]
    data = prepared(items=items_with(title=["Ten", None, "Thirty"]))
    assert data.titles.tolist() == ["", "", "Ten", "20", "Thirty"]
    assert data.schema["title"].kind == "text"
    assert not data.items["title"][3].any()


def test_a_title_can_be_shown_without_being_a_feature():
    data = prepared(items=items_with(title=["Ten", "Twenty", "Thirty"]), features={"title": "ignore"})
    assert "title" not in data.schema
    assert data.titles[2] == "Ten"


# History


def test_the_history_is_as_long_as_the_longest_one_allowed():
    frame = pd.DataFrame({"user": [1] * 5 + [2], "item": range(6), "rating": [-4, 1, 2, 3, 3, 3]})
    assert prepared(frame).schema["history"].length == 5
    assert prepared(frame, max_history=3).schema["history"].length == 3
    assert prepared(frame, max_history=None).schema["history"].length == 5
    assert prepared(frame).schema["history_rating"].std == 4.0
    with pytest.raises(UserError, match="max_history of at least 1"):
        prepared(frame, max_history=0)


# The whole


def test_a_dataset_comes_back_as_it_was_saved(tmp_path):
    frame = events(
        rating=[5, 4, 3, 2],
        timestamp=[1.5, 2, 3, 4],
        tags=["p|q", "p", "", "q"],
        note=["one two three four", "five six seven eight", "a b c d", "e f g h"],
        hour=[0.5, 1.5, None, 1.0],
    )
    items = items_with(title=["Ten \U0001f600", None, "Thirty, and more"], price=[1.5, 2, 3], tags=["x|y", "x", ""])
    users = pd.DataFrame({"user": ["a", "b"], "team": ["x", None]})
    of_request = {"tags": {"at_request": True}, "note": {"at_request": True}}
    data = prepared(frame, users, items, name="mine", features=of_request)
    data.facts["best"] = 0.5
    data.save(tmp_path)
    loaded = read_dataset(tmp_path)
    assert (loaded.name, loaded.schema, loaded.notes, loaded.facts) == (
        "mine",
        data.schema,
        data.notes,
        data.facts,
    )
    assert loaded.vocabularies == data.vocabularies
    pd.testing.assert_frame_equal(loaded.interactions, data.interactions)
    for one, other in ((loaded.users, data.users), (loaded.items, data.items)):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], strict=True)
    assert loaded.titles.tolist() == data.titles.tolist()
    assert loaded.encoders.keys() == data.encoders.keys() == {"title", "note"}
    for name, fitted in data.encoders.items():
        assert loaded.encoders[name]["terms"] == fitted["terms"]
        np.testing.assert_array_equal(loaded.encoders[name]["components"], fitted["components"], strict=True)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=30, unique=True),
    length=st.integers(1, 8),
)
def test_padded_sequences_end_with_the_latest_items(rows, length):
    frame = pd.DataFrame(rows, columns=["user", "item"]).assign(timestamp=range(len(rows)), rating=3)
    data = prepared(frame)
    users = np.arange(data.num_users)
    items, labels = data.sequences("train").padded(users, length)
    assert items.shape == labels.shape == (data.num_users, length)
    for user in users:
        expected = data.interactions.loc[data.interactions["user"] == user, "item"].tolist()[-length:]
        assert items[user].tolist() == [0] * (length - len(expected)) + expected
        assert labels[user].tolist() == [0.0] * (length - len(expected)) + [3.0] * len(expected)


def test_many_rows_are_prepared_fast():
    rng = np.random.default_rng(0)
    count = 100_000
    frame = pd.DataFrame(
        {
            "user": rng.integers(0, 2000, count).astype(str),
            "item": rng.integers(0, 1000, count),
            "rating": rng.integers(1, 6, count),
            "timestamp": rng.integers(0, 10**9, count),
        }
    )
    begun = time.perf_counter()
    prepared(frame)
    assert time.perf_counter() - begun < 5


def test_importing_the_package_imports_neither_tensorflow_nor_pandas():
    code = "import sys, zoo.data; assert not {'tensorflow', 'keras', 'pandas', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_preparing_imports_neither_tensorflow_nor_keras():
    code = (
        "import sys; from zoo.data import load_dataset; "
        "load_dataset('synthetic', num_users=20, num_items=30, num_interactions=100); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_length_of_histories_can_be_changed_without_preparing_anew():
    rows = {"user": [1] * 5 + [2] * 3, "item": [1, 2, 3, 4, 5, 1, 2, 3], "timestamp": range(8)}
    long, short = (prepare(pd.DataFrame(rows), max_history=length) for length in (None, 2))
    assert long.schema["history"].length == 5
    assert long.with_max_history(2).schema == short.schema
    assert short.with_max_history(None).schema == long.schema
    assert short.with_max_history(100).schema == long.schema
