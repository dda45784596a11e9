from __future__ import annotations

import functools
import hashlib
import http.server
import os
import threading
import zipfile
from pathlib import Path

import pytest

from zoo.data import load_dataset
from zoo.data.datasets import ml_1m, ml_100k
from zoo.data.download import Archive
from zoo.errors import UserError

pytestmark = pytest.mark.usefixtures("own_home")
FILES = ("u.data", "u.user", "u.item")


@pytest.fixture
def archive(tmp_path, write_ml_100k) -> Path:
    folder = write_ml_100k(tmp_path / "served" / "ml-100k")
    path = tmp_path / "served" / "ml-100k.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for file in folder.iterdir():
            opened.write(file, f"ml-100k/{file.name}")
    return path


@pytest.fixture
def served(archive):
    """The archive as a server publishes it."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=archive.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    md5 = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    yield Archive("ml-100k", f"http://127.0.0.1:{server.server_port}/ml-100k.zip", md5, "https://a.licence")
    server.shutdown()
    server.server_close()


def test_the_cache_is_filled_once_from_the_archive(served, tmp_path, monkeypatch, capfd):
    for field in ("url", "md5"):
        monkeypatch.setattr(ml_100k.ARCHIVE, field, getattr(served, field))
    assert load_dataset("ml-100k").num_users == 4
    folder = tmp_path / "home" / ".cache" / "recozoo" / "ml-100k"
    assert sorted(os.listdir(folder)) == ["u.data", "u.item", "u.user"]
    monkeypatch.setattr(ml_100k.ARCHIVE, "url", "http://127.0.0.1:9/")
    assert load_dataset("ml-100k").num_users == 4
    assert not capfd.readouterr().out


def test_a_wrong_checksum_leaves_nothing_behind(served, tmp_path):
    served.md5 = "0" * 32
    with pytest.raises(UserError, match=r"ml-100k\.zip does not have the published MD5 sum 0{32}, so it was removed"):
        served.download(FILES, tmp_path / "cache")
    assert not os.listdir(tmp_path / "cache")


def test_an_archive_that_lacks_a_file_leaves_nothing_behind(served, tmp_path):
    with pytest.raises(UserError, match=r"lacks ml-100k/u\.other"):
        served.download((*FILES, "u.other"), tmp_path / "c")
    assert not os.listdir(tmp_path / "c")


def test_an_address_without_an_archive_leaves_nothing_behind(served, tmp_path):
    served.url = served.url.replace("ml-100k.zip", "nothing.zip")
    with pytest.raises(UserError, match=r"could not download .*404.*Put u\.data, u\.user, u\.item"):
        served.download(FILES, tmp_path / "c")
    assert not os.listdir(tmp_path / "c")


def test_the_error_without_a_network_says_what_to_put_where(monkeypatch):
    monkeypatch.setattr(ml_1m.ARCHIVE, "url", "http://127.0.0.1:9/ml-1m.zip")
    with pytest.raises(UserError, match=r"could not download .*Put ratings\.dat, users\.dat, movies\.dat"):
        load_dataset("ml-1m")
