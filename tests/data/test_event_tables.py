from __future__ import annotations

import pandas as pd
import pytest
from small_tables import ALL_TRAIN, prepared

from zoo.data import load_dataset
from zoo.data.preparation import prepare
from zoo.errors import UserError

# Files without a header


@pytest.mark.parametrize(
    ("rows", "labels", "is_ordered"),
    [
        (["1,10", "1,20", "2,10"], [1, 1, 1], False),
        (["1,10,5", "1,20,3", "2,10,4"], [5, 3, 4], False),
        (["1,10,978300760", "1,20,978300761", "2,10,978300762"], [1, 1, 1], True),
        (["1,10,2001-01-01", "1,20,2001-01-02", "2,10,2001-01-03"], [1, 1, 1], True),
        (["1,10,5,978300760", "1,20,3,978300761", "2,10,4,978300762"], [5, 3, 4], True),
        (["1,10,978300760,5", "1,20,978300761,3", "2,10,978300762,4"], [5, 3, 4], True),
    ],
)
def test_columns_without_names_are_told_by_their_place_and_values(tmp_path, rows, labels, is_ordered):
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = prepare(path, split=ALL_TRAIN)
    assert data.vocabularies["user"].to_json() == [1, 2]
    assert data.interactions["label"].tolist() == labels
    assert data.is_ordered is is_ordered
    assert any("has no header, so its columns were taken for user, item" in note for note in data.notes)


def test_names_are_given_to_columns_by_their_number(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text("x,7,10,3\ny,7,20,5\n", encoding="utf-8")
    data = prepare(path, columns={2: "user", "3": "item", 4: "rating", 1: "shop"}, split=ALL_TRAIN)
    assert data.vocabularies["item"].to_json() == [10, 20]
    assert data.interactions["label"].tolist() == [3, 5]


def test_many_columns_without_names_must_be_named(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text("1,2,3,4,5\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"no column 'user'\. It has no header, .*columns: \{'1': user\}"):
        prepare(path)


def test_the_first_column_of_a_table_of_items_without_a_header_is_their_id(tmp_path):
    path = tmp_path / "items.dat"
    path.write_text("10::Toy Story (1995)::Animation|Comedy\n20::Heat (1995)::Crime\n", encoding="latin-1")
    items = {"file": path, "columns": {"2": "title", "3": "genres"}}
    data = prepare(pd.DataFrame({"user": [1, 1], "item": [10, 20]}), items=items, split=ALL_TRAIN)
    assert data.titles.tolist()[2:] == ["Toy Story (1995)", "Heat (1995)"]
    assert data.schema["genres"].length == 2


@pytest.mark.parametrize("columns", [{"user": 5}, {"user": None}, {("a",): "user"}, ["user"], "user"])
def test_names_that_are_no_texts_are_an_error(columns):
    with pytest.raises(UserError, match="Expected columns as a mapping"):
        prepared(columns=columns)


# What a YAML file says of its tables


def test_each_table_of_a_yaml_file_may_say_how_it_is_read(tmp_path):
    (tmp_path / "visits.txt").write_bytes("1;10\n2;20\n".encode("utf-16"))
    (tmp_path / "items.txt").write_bytes("id|title\n10|Caf\u00e9, the\n20|Heat\n".encode("cp1252"))
    (tmp_path / "data.yaml").write_text(
        "interactions: {file: visits.txt, separator: ;, header: false, columns: {1: user, 2: item}}\n"
        "items: {file: items.txt, encoding: cp1252, separator: '|'}\n"
        "split: {name: random, valid: 0, test: 0}\n",
        encoding="utf-8",
    )
    data = load_dataset(tmp_path / "data.yaml")
    assert data.titles.tolist()[2:] == ["Caf\u00e9, the", "Heat"]
    assert data.vocabularies["user"].to_json() == [1, 2]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{file: visits.csv, seperator: ';'}", "Unknown option of table 'interactions' 'seperator'"),
        ("{file: visits.csv, header: 3}", "option 'header' of table 'interactions'"),
        ("{separator: ';'}", "Expected a path"),
        ("null", "interactions"),
        ("nowhere.csv", r"nowhere\.csv: no such file"),
    ],
)
def test_a_table_of_a_yaml_file_that_says_nonsense_is_an_error(tmp_path, said, message):
    (tmp_path / "visits.csv").write_text("user,item\n1,2\n", encoding="utf-8")
    (tmp_path / "data.yaml").write_text(f"interactions: {said}\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_dataset(tmp_path / "data.yaml")


# What happened


def log() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": [1, 1, 1, 2, 2],
            "item": [10, 10, 20, 10, 30],
            "event_type": ["view", "Purchase", "view", "cart", "share"],
            "time": [1, 2, 3, 4, 5],
        }
    )


def test_events_have_the_weight_of_what_happened():
    data = prepared(log(), event_weights={"view": 1, "cart": 3, "purchase": 5})
    assert data.interactions["label"].tolist() == [5, 1, 3]
    assert "1 interactions were left out because event_weights lacks 'share'." in data.notes


def test_labels_of_repeated_interactions_can_be_added_up():
    data = prepared(log(), event_weights={"view": 1, "cart": 3, "purchase": 5}, duplicates="sum")
    assert data.interactions["label"].tolist() == [6, 1, 3]
    assert any("their labels were added up" in note for note in data.notes)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"click": 1}, "none of its events is one of click. They are: 'cart', 'purchase', 'share', 'view'"),
        ({"view": "much"}, "event_weights: expected a number for 'view'. Received: 'much'"),
        ({"view": float("nan")}, "expected a number for 'view'"),
        ({"view": True}, "expected a number for 'view'"),
    ],
)
def test_wrong_weights_of_events_are_errors(weights, message):
    with pytest.raises(UserError, match=message):
        prepared(log(), event_weights=weights)


def test_weights_without_a_column_of_events_are_an_error():
    with pytest.raises(UserError, match="event_weights need a column that says what happened"):
        prepared(event_weights={"view": 1})
