from __future__ import annotations

import pandas as pd
import pytest

from zoo.data import load_dataset
from zoo.errors import UserError

FRAME = pd.DataFrame({"user": ["a", "a", "b", "b"], "item": [1, 2, 1, 3]})
pytestmark = pytest.mark.usefixtures("own_home")


def test_a_frame_loads():
    assert load_dataset(FRAME, name="mine").num_items == 5


def test_a_file_loads_and_is_named_after_itself(tmp_path):
    FRAME.to_csv(tmp_path / "events.csv", index=False)
    for path in (tmp_path / "events.csv", str(tmp_path / "events.csv")):
        assert load_dataset(path).name == "events"


def test_a_yaml_file_loads_with_paths_from_its_folder(tmp_path):
    (tmp_path / "tables").mkdir()
    FRAME.rename(columns={"user": "who"}).to_csv(tmp_path / "tables" / "events.csv", index=False)
    pd.DataFrame({"item": [1, 2, 3], "zip": [1, 2, 3], "genres": ["x y", "x", "y"]}).to_csv(
        tmp_path / "tables" / "things.csv", index=False
    )
    (tmp_path / "mine.yaml").write_text(
        "interactions: tables/events.csv\n"
        "items: tables/things.csv\n"
        "columns: {who: user}\n"
        "features:\n  zip: ignore\n  genres: {kind: categorical, separator: ' '}\n"
        "split: {name: random, valid: 0, test: 0.25}\n"
        "max_history: 7\n"
    )
    data = load_dataset(tmp_path / "mine.yaml")
    assert data.name == "mine"
    assert [f.name for f in data.schema] == ["user", "item", "genres", "history", "history_rating", "label"]
    assert (data.interactions["part"] == "test").sum() == 1
    assert load_dataset(tmp_path / "mine.yaml", max_history=1).schema["history"].length == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items: a.csv\n", "needs the key 'interactions'"),
        ("- a\n", "expected keys and values. Received: list"),
        ("interactions: [\n", "not valid YAML"),
        ("interactions: a.csv\nfeature: {}\n", "'feature'. Did you mean 'features'"),
        ("interactions: nowhere.csv\n", r"nowhere\.csv: no such file"),
    ],
)
def test_a_wrong_yaml_file_is_an_error(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_dataset(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "ml-100",
            "Unknown dataset 'ml-100'. Did you mean 'ml-100k'.*Named datasets: amazon-beauty, .*path of an inter",
        ),
        ("zzz", "Unknown dataset 'zzz'.*movielens-sample.*works as well"),
        ("nowhere.csv", r"nowhere\.csv: no such file"),
        ("nowhere.yaml", r"nowhere\.yaml: no such file"),
    ],
)
def test_a_source_that_is_neither_a_name_nor_a_file_is_an_error(source, message):
    with pytest.raises(UserError, match=message):
        load_dataset(source)


def test_a_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("source", ["synthetic", "ml-100k", FRAME])
def test_an_unknown_option_gives_the_near_names(source):
    with pytest.raises(UserError, match=r"Unknown option 'max_histroy'. Did you mean 'max_history'"):
        load_dataset(source, max_histroy=3)


def test_a_named_dataset_takes_no_tables_of_ones_own():
    with pytest.raises(UserError, match="Unknown option 'items'"):
        load_dataset("synthetic", items=FRAME)


def test_a_dataset_is_shown_by_its_sizes_and_the_names_of_its_features():
    data = load_dataset(
        FRAME.assign(rating=[1, 2, 3, 4]), name="mine", split={"name": "random", "valid": 0, "test": 0.25}
    )
    assert repr(data) == (
        "Dataset('mine': 2 users, 3 items; interactions: 3 train, 1 test; "
        "features: user (user), item (item), history (history, history_rating), label (label))"
    )
