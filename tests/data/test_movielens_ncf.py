from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from zoo.data import load_dataset
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN

pytestmark = pytest.mark.usefixtures("own_home")
REAL = os.environ.get("ZOO_DATA")


def pairs_of(data, part):
    rows = data.part(part)
    users, items = (data.vocabularies[role].lookup(rows[role]).tolist() for role in ("user", "item"))
    return sorted(zip(users, items, strict=True))


# NCF numbers users and items from 0: movie 20 is item 0, because it is the first to be rated.
NCF_RATINGS = "1::20::5::100\n1::10::3::200\n1::30::4::200\n2::30::4::300\n2::20::2::301\n"
NCF_SPLIT = {
    "train_user": [0, 0, 1],
    "train_item": [0, 2, 2],
    "test_user": [0, 1],
    "test_item": [1, 0],
    "test_negative": [[0, 2], [1, 0]],
    "item_to_movieid": [20, 10, 30],
}


@pytest.fixture
def write_ncf(write_ml_1m):
    def write(folder: Path, how: str, **changes) -> Path:
        """MovieLens 1M of two users and three movies, with NCF's split as an archive or as the original file."""
        write_ml_1m(folder)
        (folder / "ratings.dat").write_text(NCF_RATINGS)
        (folder / "movies.dat").write_text(
            "10::Ten (1995)::Drama\n20::Twenty (1996)::Comedy\n30::Thirty (1997)::Drama\n"
        )
        split = {name: np.array(values, np.int16) for name, values in {**NCF_SPLIT, **changes}.items()}
        if how == "archive":
            np.savez(folder / "ncf_loo.npz", **split)
        else:
            held_out = zip(split["test_user"], split["test_item"], split["test_negative"], strict=True)
            lines = [f"({user},{item})\t" + "\t".join(map(str, others)) for user, item, others in held_out]
            (folder / "ml-1m.test.negative").write_text("\n".join(lines) + "\n")
        return folder

    return write


BOTH = pytest.mark.parametrize("how", ["archive", "original"])


@BOTH
def test_ncf_holds_out_an_item_of_each_user_and_lists_its_negatives(tmp_path, how, write_ncf):
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
def test_the_item_that_ncf_holds_out_comes_after_those_of_the_same_time(tmp_path, how, write_ncf):
    write_ncf(tmp_path / "ml-1m", how)
    assert load_dataset("ml-1m-ncf", data_root=tmp_path).is_split_in_time


def test_ncf_without_its_file_says_where_to_put_it(tmp_path, write_ml_1m):
    write_ml_1m(tmp_path / "ml-1m")
    with pytest.raises(UserError, match=r"ml-1m lacks ml-1m\.test\.negative\. Put it there from https://github.com"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


def test_ncf_without_movielens_says_where_to_put_that(tmp_path):
    with pytest.raises(UserError, match=r"lacks ratings\.dat, users\.dat, movies\.dat\. Put .*ml-1m\.zip"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


@BOTH
def test_ncf_takes_no_other_split(tmp_path, how, write_ncf):
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
def test_ncf_of_other_ratings_is_an_error(tmp_path, how, changes, write_ncf):
    write_ncf(tmp_path / "ml-1m", how, **changes)
    with pytest.raises(UserError, match=r"ratings\.dat: its ratings are not those of .*Put the original files there"):
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
def test_a_malformed_file_of_ncf_is_an_error(tmp_path, text, message, write_ncf):
    folder = write_ncf(tmp_path / "ml-1m", "original")
    (folder / "ml-1m.test.negative").write_text(text)
    with pytest.raises(UserError, match=rf"ml-1m\.test\.negative: {message}"):
        load_dataset("ml-1m-ncf", data_root=tmp_path)


def test_a_malformed_archive_of_ncf_is_an_error(tmp_path, write_ncf):
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


@pytest.mark.skipif(not REAL, reason="ZOO_DATA is not set")
def test_the_real_split_of_ncf_has_the_published_counts():
    data = load_dataset("ml-1m-ncf", data_root=REAL)
    assert {part: len(data.part(part)) for part in ("train", "test")} == {"train": 994_169, "test": 6_040}
    assert (data.candidates["test"][FIRST_KNOWN:] >= FIRST_KNOWN).all()
    assert data.candidates["test"].shape == (6_042, 99)
