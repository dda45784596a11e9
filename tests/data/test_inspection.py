from __future__ import annotations

import pandas as pd
import pytest
from small_tables import ALL_TRAIN

from zoo.data import load_dataset
from zoo.data.inspection import inspect_tables
from zoo.errors import UserError


@pytest.fixture
def shop(tmp_path):
    """Files as people have them: semicolons, old letters, several values, a date, a second label."""
    numbers = range(60)
    visits = {
        "Customer": [f"c{number % 7}" for number in numbers],
        "Product_ID": [number % 12 for number in numbers],
        "rating": [number % 5 for number in numbers],
        "score": [number % 3 for number in numbers],
        "Date": [f"2024-02-{1 + number % 28:02}" for number in numbers],
        "Time": [f"{number % 24:02}:30" for number in numbers],
        "device": [["phone", "tv"][number % 5 == 0] for number in numbers],
        "note": [f"n{number * number % 11}" for number in numbers],
    }
    pd.DataFrame(visits).to_csv(tmp_path / "visits.csv", sep=";", index=False)
    rows = [f"{number}|Caf\u00e9 number {number} of the old town|['a', 'b']|2001-02-03|x" for number in range(12)]
    (tmp_path / "items.txt").write_bytes("\n".join(["id|title|tags|released|one", *rows, ""]).encode("cp1252"))
    return tmp_path


def options_of(shop):
    return {"items": shop / "items.txt", "columns": {"Customer": "user"}, "name": "shop"}


def test_every_column_is_described(shop):
    found = {one["column"]: one for one in inspect_tables(shop / "visits.csv", **options_of(shop)).columns}
    assert {column: one["taken_for"] for column, one in found.items()} == {
        "Customer": "user (id)",
        "Product_ID": "item (id)",
        "rating": "label (numeric)",
        "score": "nothing",
        "Date": "timestamp (time)",
        "Time": "nothing",
        "device": "context feature (categorical)",
        "note": "nothing",
        "id": "item (id)",
        "title": "item feature (text)",
        "tags": "item feature (categorical)",
        "released": "item feature (numeric)",
        "one": "item feature (categorical)",
    }
    assert found["Product_ID"]["range"] == "0 to 11"
    assert found["device"]["samples"] == ["tv", "phone"]
    assert "second label" in found["score"]["why"]
    assert "left out" in found["note"]["why"]


def test_the_settings_prepare_the_same_data(shop):
    found = inspect_tables(shop / "visits.csv", **options_of(shop))
    (shop / "shop.yaml").write_text(found.yaml(shop), encoding="utf-8")
    stated = load_dataset(shop / "shop.yaml", split=ALL_TRAIN)
    guessed = load_dataset(shop / "visits.csv", split=ALL_TRAIN, **options_of(shop))
    assert stated.name == guessed.name
    assert list(stated.schema) == list(guessed.schema)
    assert stated.interactions.equals(guessed.interactions)
    assert stated.titles.tolist() == guessed.titles.tolist()
    assert all((stated.items[name] == guessed.items[name]).all() for name in guessed.items)
    for name, vocabulary in guessed.vocabularies.items():
        assert stated.vocabularies[name].to_json() == vocabulary.to_json()


def test_what_looks_odd_is_noted():
    notes = inspect_tables(pd.DataFrame({"user": range(100), "item": 1, "price": ["1.5"] * 99 + ["free"]})).notes
    assert any("1 values of 'price' are no numbers, e.g. 'free'" in note for note in notes)
    assert any("all values of 'item' are '1'" in note for note in notes)


def test_a_mistake_in_a_table_is_an_error_with_its_place():
    with pytest.raises(UserError, match="interactions, row 2, column 'user': the user id is missing"):
        inspect_tables(pd.DataFrame({"user": ["a", None], "item": [1, 2]}))
