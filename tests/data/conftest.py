"""Small files of MovieLens, a home without a cache, and streams of several pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.data import chunks, stream_preparation


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """No test reads or fills the real cache."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    return tmp_path / "home"


def _write_ml_100k(folder: Path) -> Path:
    """MovieLens 100K of two users and two movies."""
    folder.mkdir(parents=True)
    (folder / "u.data").write_text("1\t1\t5\t881250949\n1\t2\t3\t881250950\n2\t1\t4\t881250951\n")
    (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    flags = ["|".join("1" if g in on else "0" for g in range(19)) for on in ({3, 4, 5}, set())]
    (folder / "u.item").write_bytes(
        f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags[0]}\n2|Café|||http://y|{flags[1]}\n".encode("latin-1")
    )
    return folder


def _write_ml_1m(folder: Path) -> Path:
    """MovieLens 1M of two users and two movies."""
    folder.mkdir(parents=True)
    (folder / "ratings.dat").write_text("1::1::5::978300760\n1::2::3::978300761\n2::1::4::978300762\n")
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    movies = '1::"Toy" Story: 2 (1995)::Animation|Comedy\n2::Café (1996)::Drama\n3::Never (1997)::Drama\n'
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    return folder


@pytest.fixture
def write_ml_100k():
    """Writes the files of MovieLens 100K into a folder."""
    return _write_ml_100k


@pytest.fixture
def write_ml_1m():
    """Writes the files of MovieLens 1M into a folder."""
    return _write_ml_1m


@pytest.fixture
def small_pieces(monkeypatch):
    """Chunks, blocks and shards so small that these data have several of each."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 70)
    monkeypatch.setattr(stream_preparation, "BLOCK_ROWS", 90)
    monkeypatch.setattr(stream_preparation, "SHARD_ROWS", 64)


@pytest.fixture
def scratch(tmp_path) -> Path:
    """The folder that streams put their files into."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1 2 3")
    return tmp_path / "model"
