from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_tables import events, items_with, prepared

from zoo.data.dataset import Dataset, neutral
from zoo.errors import UserError

# Kinds of features


def column_of(count: int, values: list) -> pd.DataFrame:
    return pd.DataFrame({"item": range(count), "c": (values * count)[:count]})


def with_items(items: pd.DataFrame, **options) -> Dataset:
    return prepared(pd.DataFrame({"user": 1, "item": items["item"]}), items=items, **options)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (list(range(11)), "numeric"),
        (list(range(10)), "categorical"),
        ([1.5, 2.0], "numeric"),
        (["1.5", "2", ""], "numeric"),
        (["12", "NA", "13.5"], "numeric"),
        (["00501", "10001"], "categorical"),
        (["red", "blue"], "categorical"),
        ([True, False], "categorical"),
        (["a|b", "a", "c"], "categorical"),
        (["1995-01-01", "2001-05-04"], "numeric"),
        (["1995-01-01T10:00", ""], "numeric"),
        (list(pd.to_datetime(["1995-01-01", "2001-05-04"])), "numeric"),
        (["1995-01-01", "soon"], "categorical"),
    ],
)
def test_the_kind_follows_from_the_values(values, kind):
    assert with_items(column_of(60, values)).schema["c"].kind == kind


def test_long_and_mostly_distinct_strings_are_text():
    items = column_of(20, [f"the story of number {n}" for n in range(20)])
    data = with_items(items)
    assert data.schema["c"].kind == "text"
    assert data.items["c"].shape == (22, data.schema["c"].size)
    assert data.encoders["c"]["encoder"] == "tfidf"
    assert not data.items["c"][:2].any()


@pytest.mark.parametrize(("words", "kind"), [(60, "categorical"), (61, "text")])
def test_texts_have_more_than_three_words_on_average(words, kind):
    """A column of 20 distinct values."""
    longer = words - 60
    values = [f"the story {n}" + " again" * (n < longer) for n in range(20)]
    assert sum(len(value.split()) for value in values) == words
    assert with_items(column_of(20, values)).schema["c"].kind == kind


@pytest.mark.parametrize(("distinct", "kind"), [(10, "categorical"), (11, "text")])
def test_texts_are_distinct_in_more_than_half_of_the_rows(distinct, kind):
    values = [f"the story of number {n}" for n in range(distinct)]
    assert with_items(column_of(20, values)).schema["c"].kind == kind


def test_a_column_of_nearly_distinct_values_is_ignored_with_a_note():
    data = with_items(column_of(60, [f"http://x/{n}" for n in range(60)]))
    assert "c" not in data.schema
    assert "The item column 'c' was ignored: it has 60 distinct values in 60 rows." in data.notes


def test_an_empty_column_is_ignored_with_a_note():
    data = with_items(column_of(5, [""]))
    assert "The item column 'c' was ignored: it has no values." in data.notes


@pytest.mark.parametrize("option", ["categorical", "numeric", "text", {"separator": "|"}])
def test_an_empty_column_can_still_be_said_to_be_a_feature(option):
    data = with_items(column_of(5, [""]), features={"c": option})
    expected = np.repeat(neutral(data.schema["c"])[None], 7, axis=0)
    np.testing.assert_array_equal(data.items["c"], expected)


def test_numbers_are_standardised_and_missing_ones_are_the_mean():
    data = prepared(items=items_with(price=["1.5", "", "4.5"]))
    feature = data.schema["price"]
    assert (feature.mean, feature.std) == (3.0, 1.5)
    assert data.items["price"].tolist() == [0, 0, -1, 0, 1]
    assert data.items["price"].dtype == np.float32


def test_a_constant_number_has_a_deviation_of_one():
    assert prepared(items=items_with(p=[2.5, 2.5, 2.5])).schema["p"].std == 1.0


def test_categories_are_sorted_and_missing_ones_unknown():
    data = prepared(items=items_with(colour=["red", None, "blue"], size=["9", "10", "9"]))
    assert data.vocabularies["colour"].to_json() == ["blue", "red"]
    assert data.vocabularies["size"].to_json() == [9, 10]
    assert data.items["colour"].tolist() == [1, 1, 3, 1, 2]
    assert data.schema.size("colour") == 4


def test_lists_fill_from_the_front():
    data = prepared(items=items_with(tags=["b|a", None, "a | c|a|"]))
    feature = data.schema["tags"]
    assert (feature.length, feature.separator, feature.size) == (2, "|", 5)
    assert data.items["tags"].tolist() == [[1, 0], [1, 0], [3, 2], [1, 0], [2, 4]]
    np.testing.assert_array_equal(data.items["tags"][0], neutral(feature))


def test_lists_of_frames_are_lists():
    assert prepared(items=items_with(tags=[["a", "b"], ["a"], []])).items["tags"].tolist()[2:] == [
        [2, 3],
        [2, 0],
        [1, 0],
    ]


def test_long_lists_are_cut_at_sixteen():
    data = prepared(items=items_with(tags=["|".join("abcdefghijklmnopqrstuvwxyz"), "a|b", "a"]))
    assert data.schema["tags"].length == 16
    assert any("column 'tags'" in note and "16" in note for note in data.notes)


def test_context_features_are_columns_of_the_interactions():
    frame = events(device=["x", None, "y", "x"], tags=["p|q", "p", "", "q"], hour=[0.5, 1.5, None, 1.0])
    data = prepared(frame, features={"tags": {"at_request": True}})
    assert [feature.name for feature in data.schema.role("context")] == ["device", "tags", "hour"]
    assert data.interactions["device"].tolist() == [2, 1, 3, 2]
    assert np.stack(data.interactions["tags"]).tolist() == [[2, 3], [2, 0], [1, 0], [3, 0]]
    assert data.interactions["hour"].dtype == np.float32


def test_context_features_follow_their_interaction_when_it_is_sorted():
    frame = events(timestamp=[4, 3, 2, 1], n=[0.4, 0.3, 0.2, 0.1])
    data = prepared(frame, features={"n": {"at_request": True}})
    assert data.interactions["n"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("categorical", ("categorical", None)),
        ({"kind": "categorical"}, ("categorical", None)),
        ({"separator": " "}, ("categorical", 2)),
        ({"kind": "categorical", "separator": " ", "length": 5}, ("categorical", 5)),
        ({"kind": "text", "dim": 1, "encoder": "tfidf"}, ("text", None)),
        ({"dim": 1}, ("text", None)),
    ],
)
def test_options_of_a_feature_hold(option, expected):
    feature = prepared(items=items_with(c=["a b", "b", "a"]), features={"c": option}).schema["c"]
    assert (feature.kind, feature.length) == expected


def test_an_empty_separator_keeps_values_whole():
    data = prepared(items=items_with(c=["a|b", "b", "a"]), features={"c": {"separator": ""}})
    assert data.vocabularies["c"].to_json() == ["a", "a|b", "b"]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"c": "categoric"}, "Unknown kind of feature 'c' 'categoric'. Did you mean 'categorical'"),
        ({"c": {"kid": "text"}}, "Unknown option of feature 'c' 'kid'. Did you mean 'kind'"),
        ({"colr": "text"}, "Unknown column in features 'colr'. Did you mean 'colour'"),
        ({"c": {"kind": "numeric", "separator": "|"}}, "Feature 'c' is numeric and takes no 'separator'"),
        ({"c": {"kind": "text", "encoder": "tfidff"}}, "Unknown text encoder 'tfidff'"),
        ({"c": {"kind": "text", "dim": 0}}, "0 is not at least 1: option 'dim' of feature 'c'. Give at least 1"),
        (
            {"c": {"separator": "|", "length": 0}},
            "0 is not at least 1: option 'length' of feature 'c'. Give at least 1",
        ),
        ({"c": {"separator": 3}}, "3 is not a text: option 'separator' of feature 'c'"),
        ({"c": None}, "Unknown kind of feature 'c' 'None'"),
        ({"c": {"kind": ["text"]}}, "Unknown kind of feature 'c'"),
        ({"c": {"length": 3}}, "Feature 'c' has a length but no separator"),
        (["c"], "Expected features as a mapping"),
    ],
)
def test_wrong_options_of_a_feature_are_errors(features, message):
    with pytest.raises(UserError, match=message):
        prepared(items=items_with(c=["a", "b", "a"], colour=["x", "y", "y"]), features=features)


def test_a_numeric_feature_with_a_word_is_an_error(tmp_path):
    items_with(price=["1", "cheap", "2"]).to_csv(tmp_path / "items.csv", index=False)
    with pytest.raises(UserError, match=r"items\.csv, row 3, column 'price': expected a number.*'cheap'"):
        prepared(items=tmp_path / "items.csv", features={"price": "numeric"})


@pytest.mark.parametrize("value", ["inf", "-inf", "1e39", np.inf, 1e308])
def test_a_numeric_feature_beyond_32_bits_is_an_error(value):
    with pytest.raises(UserError, match=r"items, row 2, column 'price': expected a number of at most 3\.4e\+38"):
        prepared(items=items_with(price=[1.5, value, 2.5]))


def test_a_date_is_the_number_of_its_day():
    data = prepared(items=items_with(released=["1970-01-02", "", "1970-01-04T12:00"]))
    feature = data.schema["released"]
    assert (feature.mean, feature.std) == (2.25, 1.25)
    assert data.items["released"][2:].tolist() == [-1, 0, 1]
    assert "The item column 'released' holds dates: days since 1970-01-01." in data.notes


@pytest.mark.parametrize(
    "values", [[["a", "b"], ["c"], None], ["['a', 'b']", "['c']", ""], [np.array(["a", "b"]), ["c"], []]]
)
def test_lists_are_features_of_several_values_however_they_are_written(values):
    data = prepared(items=items_with(tags=pd.Series(values, dtype=object)))
    assert data.schema["tags"].length == 2
    assert data.items["tags"][2:].tolist() == [[2, 3], [4, 0], [1, 0]]


# Names


def test_features_that_share_a_name_get_their_role_in_front():
    users = pd.DataFrame({"user": ["a", "b"], "age": [1.5, 2.5], "team": ["x", "y"]})
    features = {"context_age": {"at_request": True}}
    data = prepared(events(age=[1, 2, 1, 2]), users, items_with(age=[1, 1, 2]), features=features)
    names = [feature.name for feature in data.schema]
    assert names == [
        *("user", "user_age", "team", "item", "item_age", "history", "history_rating", "context_age", "label")
    ]


def test_options_of_one_role_hold_only_for_it():
    users = pd.DataFrame({"user": ["a", "b"], "age": ["1", "2"]})
    data = prepared(users=users, items=items_with(age=["1", "2", "1"]), features={"user_age": "numeric"})
    assert (data.schema["user_age"].kind, data.schema["item_age"].kind) == ("numeric", "categorical")


def test_names_with_a_meaning_of_their_own_get_their_role_in_front():
    items = items_with(user=[1, 2, 1], file=["p", "p", "q"])
    data = prepared(events(part=["x", "y", "x", "y"]), items=items, features={"part": {"at_request": True}})
    assert {"item_user", "item_file", "context_part"} <= {feature.name for feature in data.schema}


def test_names_are_fit_for_model_inputs():
    data = prepared(items=items_with(**{"release date/year": [1.5, 2, 3], "3d": ["y", "n", "y"]}))
    assert {"release_date_year", "item_3d"} <= {feature.name for feature in data.schema}


def test_names_in_other_scripts_are_written_by_the_codes_of_their_letters():
    data = prepared(items=items_with(**{"\u4ef7\u683c": [1.5, 2, 3], "\u989c\u8272": ["y", "n", "y"]}))
    assert {"u4ef7_u683c", "u989c_u8272"} <= {feature.name for feature in data.schema}


def test_names_that_differ_in_a_letter_of_another_script_stay_apart():
    data = prepared(items=items_with(**{"gr\u00f6\u00dfe": [1.5, 2, 3], "gr\u00f6\u0142e": [1.5, 3, 3]}))
    assert {"gro_u00df_e", "gro_u0142_e"} <= {feature.name for feature in data.schema}


def test_columns_that_would_share_a_clean_name_are_an_error():
    with pytest.raises(UserError, match="'a b', 'a-b' would all be called 'item_a_b'"):
        prepared(items=items_with(**{"a b": [1, 2, 1], "a-b": [1, 2, 1]}))
