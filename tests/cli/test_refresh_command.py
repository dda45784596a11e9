"""`zoo refresh`: what it prints, what it exits with, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import export
from zoo.files import list_files

USED = ["--items", "items.csv"]


@pytest.fixture(scope="module")
def made(make_run, datasets, tmp_path_factory) -> Path:
    """A folder with a bundle of an architecture that reads the genres of items, and the items it was made with."""
    dataset = datasets["features"]
    folder = tmp_path_factory.mktemp("made")
    export.export(make_run("two_tower", dataset, temperature=1.0), folder / "shop", "tflite", k=5)
    year, genres = dataset.schema["year"], dataset.vocabularies["genres"]
    rows = zip(
        dataset.vocabularies["item"].values,
        dataset.titles[2:],
        dataset.items["year"][2:],
        dataset.items["genres"][2:],
        strict=True,
    )
    pd.DataFrame(
        [
            (item, title, round(y * year.std + year.mean), "|".join(genres.lookup(g[g > 1])))
            for item, title, y, g in rows
        ],
        columns=["item", "title", "year", "genres"],
    ).to_csv(folder / "items.csv", index=False)
    return folder


@pytest.fixture
def zoo_command(zoo_command, tmp_path, made):
    """Runs the command in a copy of what was made."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return zoo_command


def change(folder: Path) -> None:
    """100 is no longer there, 900 is new and 104 is of another year."""
    items = pd.read_csv(folder / "items.csv")
    items.loc[items["item"] == 104, "year"] = 1950
    items.loc[items["item"] == 100, "item"] = 900
    items.to_csv(folder / "items.csv", index=False)


def test_it_says_what_changed_and_ticks_every_check(zoo_command, tmp_path):
    change(tmp_path)
    code, out, _ = zoo_command("refresh", "shop", *USED, "--verbose")
    assert code == 0
    checks = [line for line in out.splitlines() if line.startswith("✓")]
    assert len(checks) == 12  # four endpoints at three batch sizes
    assert "Items: 1 new, 1 changed, 1 withdrawn, 0 returned, 28 unchanged" in out
    assert "Published shop, version 2" in out
    assert export.open_bundle("shop").manifest["withdrawn"] == [100]


def test_json_says_the_same_to_a_program(zoo_command, tmp_path):
    change(tmp_path)
    code, out, _ = zoo_command("refresh", "shop", *USED, "--out", "new", "--json")
    said = json.loads(out)
    assert code == 0
    assert said["items"] == {"new": 1, "changed": 1, "withdrawn": 1, "returned": 0, "unchanged": 28}
    assert (said["bundle"], said["version"], said["published"]) == ("new", "2", True)
    assert len(said["checks"]) == 12
    assert all(check["passed"] for check in said["checks"])
    assert export.open_bundle("shop").version == "1"


def test_it_warns_and_publishes_nothing_where_nothing_changed(zoo_command, tmp_path):
    before = list_files(tmp_path, but="")
    code, out, err = zoo_command("refresh", "shop", *USED, "--out", "new")
    assert code == 0
    assert "Warning: items.csv is the catalogue that shop has already. Nothing was published." in err
    assert "30 unchanged" in out
    assert list_files(tmp_path, but="") == before
    code, out, _ = zoo_command("refresh", "shop", *USED, "--json")
    assert (code, json.loads(out)["published"]) == (0, False)


def test_columns_are_renamed(zoo_command, tmp_path):
    pd.read_csv("items.csv").rename(columns={"item": "sku", "year": "made"}).to_csv("items.csv", index=False)
    code, out, _ = zoo_command("refresh", "shop", *USED, "--columns", "sku=item", "--columns", "made=year")
    assert (code, "30 unchanged" in out) == (0, True)


def test_the_yaml_file_of_the_data_names_the_table_and_its_columns(zoo_command, tmp_path):
    pd.read_csv("items.csv").rename(columns={"item": "sku", "year": "made"}).to_csv(
        "products.csv", sep=";", index=False
    )
    said = "{customer_no: user, sku: item, made: year, bought_at: timestamp}"
    (tmp_path / "shop.yaml").write_text(f"interactions: orders.csv\nitems: products.csv\ncolumns: {said}\n")
    code, out, err = zoo_command("refresh", "shop", "--items", "shop.yaml")
    assert (code, "30 unchanged" in out) == (0, True), err


def test_a_yaml_file_without_a_table_of_items_is_an_error(zoo_command, tmp_path):
    (tmp_path / "shop.yaml").write_text("interactions: orders.csv\n")
    code, _, err = zoo_command("refresh", "shop", "--items", "shop.yaml")
    assert (code, err) == (
        2,
        "Error: shop.yaml: names no table of items. Add the key 'items', or name the table itself.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop", "--items", "itmes.csv"], "itmes.csv: no such file. Did you mean 'items.csv'?"),
        (["nowhere", *USED], "nowhere: not a bundle"),
        (["shop", *USED, "--columns", "sku"], "--columns: expected name in the file=name here. Received: 'sku'"),
        (["shop", *USED, "--columns", "sku=item"], "has no column 'sku'"),
        (["shop", *USED, "--out", "shop"], "shop: exists already"),
        (["shop", *USED, "-k", "31"], "k must be between 1 and the 30 items"),
        (["shop"], "--items"),
    ],
)
def test_a_mistake_exits_with_2_and_leaves_nothing_behind(zoo_command, tmp_path, arguments, said):
    before = list_files(tmp_path, but="")
    code, _, err = zoo_command("refresh", *arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert list_files(tmp_path, but="") == before
    assert export.open_bundle("shop").version == "1"
