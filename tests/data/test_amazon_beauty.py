from __future__ import annotations

import gzip

import pytest

from zoo.data import load_dataset
from zoo.errors import UserError

pytestmark = pytest.mark.usefixtures("own_home")
REVIEWS = "user,item,timestamp\nu0,i1,1\nu0,i2,2\nu0,i3,3\nu1,i2,1\nu1,i1,2\nu1,i3,3\n"


def write(folder, text=REVIEWS):
    folder.mkdir(exist_ok=True)
    (folder / "beauty.csv.gz").write_bytes(gzip.compress(text.encode()))
    return folder


@pytest.mark.parametrize("how", ["root", "folder", "environment"])
def test_it_is_found_where_it_is_said_to_be(tmp_path, monkeypatch, how):
    folder = write(tmp_path / "amazon-beauty")
    if how == "environment":
        monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    data = load_dataset("amazon-beauty", data_root={"root": tmp_path, "folder": folder}.get(how))
    assert (data.num_users, data.num_items, data.name) == (4, 5, "amazon-beauty")


def test_a_users_last_item_is_for_testing_and_the_one_before_it_for_validation(tmp_path):
    data = load_dataset("amazon-beauty", data_root=write(tmp_path / "amazon-beauty"))
    items = data.vocabularies["item"]
    parts = {part: items.lookup(data.part(part).sort_values("user")["item"]).tolist() for part in ("valid", "test")}
    assert parts == {"valid": ["i2", "i1"], "test": ["i3", "i3"]}


def test_without_a_folder_it_says_that_there_is_nothing_to_download(monkeypatch):
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(UserError, match=r"amazon-beauty: is not downloaded, .* Put beauty\.csv\.gz into a folder"):
        load_dataset("amazon-beauty")


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"amazon-beauty: .* \(data_root\) lacks beauty\.csv\.gz\. Put"):
        load_dataset("amazon-beauty", data_root=tmp_path)


@pytest.mark.parametrize(
    "content", [b"user,item\nu0,i0\n", gzip.compress(REVIEWS.encode())[:30]], ids=["not packed", "cut off"]
)
def test_a_file_that_is_cut_off_or_not_packed_is_refused(tmp_path, content):
    write(tmp_path / "amazon-beauty").joinpath("beauty.csv.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"beauty\.csv\.gz: .* Put the original file there"):
        load_dataset("amazon-beauty", data_root=tmp_path)
