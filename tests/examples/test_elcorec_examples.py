"""The examples of elcorec run as their README files say, on their own tables and on others."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from zoo.files import read_json

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
# Each trains a network of its own.
pytestmark = pytest.mark.slow

NAMES = ("content_recommendation", "playlist", "interaction_graph")


@pytest.fixture
def script(monkeypatch, capsys):
    """Runs an example in this process, in a folder. Gives its exit code and what it printed."""

    def call(name: str, *arguments: object, cwd: Path) -> tuple[object, str, str]:
        found = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / f"{name}.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        monkeypatch.setitem(sys.modules, found.name, module)
        found.loader.exec_module(module)
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [name, "--epochs", "1", *map(str, arguments)])
        code: object = 0
        try:
            module.main()
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return call


def table_below(printed: str, heading: str) -> list[str]:
    """The rows below a heading, without the names of the columns."""
    lines = printed.split(f"\n{heading}\n", 1)[1].split("\n\n", 1)[0].splitlines()
    return lines[1:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the run and the bundle of the films example, and small tables of a user's own."""
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    events = pd.DataFrame({"visitor": np.repeat(np.arange(12), 10), "sku": rng.integers(0, 15, 120)})
    events = events.assign(stars=rng.integers(1, 6, 120), ts=np.arange(120) * 3600).drop_duplicates(["visitor", "sku"])
    own = {"visitor": "user_id", "sku": "item_id", "stars": "rating"}
    events.rename(columns=own).to_csv(folder / "visits.csv", index=False)
    events.rename(columns={**own, "visitor": "visitor"}).to_csv(folder / "no-user.csv", index=False)
    pd.DataFrame({"user_id": range(12), "plan": ["free", "paid"] * 6}).to_csv(folder / "visitors.csv", index=False)
    goods = pd.DataFrame({"item_id": range(15), "title": [f"Thing {number}" for number in range(15)]})
    goods.assign(colours=["red|blue", "blue", "green|red"] * 5).to_csv(folder / "goods.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def films(folder, run_example) -> str:
    """What the films example printed."""
    return run_example("content_recommendation/content_recommendation.py", "--epochs", 1, "--out", "films", cwd=folder)


@pytest.fixture(scope="module")
def tracks(folder, run_example) -> str:
    """What the playlist example printed."""
    playlist = ("Iron Liturgy", "Bury the Sun", "t37")
    return run_example(
        "playlist/playlist.py", "--epochs", 1, "--playlist", *playlist, "-k", 4, "--out", "tracks", cwd=folder
    )


def test_every_example_has_a_page_and_a_line_of_its_own():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"[{name}]({name}/README.md)" in listed
        assert f"{name}/{name}.py" in (EXAMPLES / name / "README.md").read_text(encoding="utf-8")


def test_films_are_recommended_to_a_known_user_and_to_a_new_one(films):
    assert "ctr: " in films
    assert all(f"\n{metric} " in films for metric in ("auc", "log_loss"))
    known = pd.read_csv(EXAMPLES / "content_recommendation" / "films.csv")["title"].tolist()
    most = pd.read_csv(EXAMPLES / "content_recommendation" / "ratings.csv")["user"].mode()[0]
    for heading in (f"For {most}:", "For somebody new:"):
        rows = table_below(films, heading)
        assert len(rows) == 5
        assert all(any(title in row for title in known) for row in rows)
        chances = [float(row.split()[-1]) for row in rows]
        assert chances == sorted(chances, reverse=True)
        assert all(0 <= chance <= 1 for chance in chances)


def test_the_films_example_writes_a_run(films, folder):
    assert read_json(folder / "films" / "config.json", "run")["model"] == "elcorec_graph"
    assert "To ship it: zoo export films" in films


def test_the_films_example_writes_a_verified_bundle_if_asked(tmp_path, run_example):
    printed = run_example(
        "content_recommendation/content_recommendation.py", "--epochs", 1, "--bundle", "bundle", cwd=tmp_path
    )
    assert (tmp_path / "bundle" / "manifest.json").exists()
    assert "Published bundle" in printed


def test_the_films_example_accepts_other_tables_and_another_new_user(folder, script):
    tables = ("--interactions", "visits.csv", "--users", "visitors.csv", "--items", "goods.csv")
    record = '{"user": "Ada", "plan": "paid", "history": [3, 4]}'
    arguments = (*tables, "--user", 3, "--new-user", record, "--out", "own")
    code, printed, err = script("content_recommendation", *arguments, cwd=folder)
    assert code == 0, err
    for heading in ("For 3:", "For Ada:"):
        rows = table_below(printed, heading)
        assert len(rows) == 5
        assert all("Thing " in row for row in rows)
    assert "zoo export own" in printed


def test_a_playlist_is_continued_with_other_tracks(tracks):
    assert "lyrics: item text" in tracks
    assert "full-ranking: " in tracks
    given, following = table_below(tracks, "Playlist:"), table_below(tracks, "Next:")
    titles = ("Iron Liturgy", "Bury the Sun", "Kingdom of Rust")
    assert all(title in row for title, row in zip(titles, given, strict=True))
    assert len(following) == 4
    assert not any(title in row for title in titles for row in following)


def test_the_default_playlist_of_another_table_is_what_was_played_last(folder, script):
    tables = ("--interactions", "visits.csv", "--items", "goods.csv")
    code, printed, err = script("playlist", *tables, "--out", "plays", cwd=folder)
    assert code == 0, err
    last = pd.read_csv(folder / "visits.csv").tail(4)["item_id"]
    rows = table_below(printed, "Playlist:")
    assert all(f"Thing {item} " in row for item, row in zip(last, rows, strict=True))


def test_the_graph_of_a_run_is_drawn_and_explained(films, folder, run_example):
    asked = ("--run", "films", "--item", "f45", "--events", 5)
    printed = run_example("interaction_graph/interaction_graph.py", *asked, "--out", "a/why.png", cwd=folder)
    assert "Why 'Umbrella Weather' (Romance, Comedy) for u" in printed
    reasons = [line for line in printed.splitlines() if line.startswith("  ")]
    # Five events, the others, and the film itself share all the attention.
    assert len(reasons) == 7
    for line in reasons[:5]:
        liked = "4 stars" in line or "5 stars" in line
        assert line.startswith("  because you rated " if liked else "  although you rated ")
        assert " ago: " in line or " today: " in line
    shares = [float(line.split(": ")[-1].split("%")[0]) for line in reasons]
    assert sum(shares) == pytest.approx(100, abs=len(shares) / 2)
    assert shares[:5] == sorted(shares[:5], reverse=True)

    picture = imread(folder / "a" / "why.png")
    assert picture.shape[0] > 400
    assert picture.shape[1] > 1200
    is_blank = (picture[..., :3] > 0.99).all(axis=-1)
    assert 0.02 < 1 - is_blank.mean() < 0.5


def test_the_graph_of_other_tables_is_drawn_after_training(folder, script):
    tables = ("--interactions", "visits.csv", "--users", "visitors.csv", "--items", "goods.csv")
    code, printed, err = script("interaction_graph", *tables, "--user", 3, "--out", "own.svg", cwd=folder)
    assert code == 0, err
    assert "for 3?" in printed
    assert (folder / "own.svg").read_text(encoding="utf-8").count("<path") > 10


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "content_recommendation",
            ["--interactions", "visit.csv"],
            "visit.csv: no such file. Did you mean 'visits.csv'",
        ),
        ("content_recommendation", ["--interactions", "no-user.csv"], "no-user.csv: has no column 'user'"),
        ("content_recommendation", ["--items", "visitors.csv"], "visitors.csv: has no column 'item'"),
        ("content_recommendation", ["--user", "u999"], "Unknown user 'u999'. Did you mean 'u099'"),
        ("content_recommendation", ["--new-user", '{"agee": 3}'], "Unknown key of record 1 'agee'. Did you mean 'age'"),
        ("content_recommendation", ["--new-user", "[3]"], "argument --new-user: invalid record value: '[3]'"),
        ("playlist", ["--interactions", "visit.csv"], "visit.csv: no such file. Did you mean 'visits.csv'"),
        ("playlist", ["--interactions", "no-user.csv"], "no-user.csv: has no column 'user'"),
        ("playlist", ["--playlist", "Bury the Son"], "Unknown track 'Bury the Son'. Did you mean 'Bury the Sun'"),
        ("interaction_graph", ["--run", "nowhere"], "nowhere"),
        ("interaction_graph", ["--interactions", "no-user.csv"], "no-user.csv: has no column 'user'"),
        ("interaction_graph", ["--user", "u999"], "Unknown user 'u999'. Did you mean 'u099'"),
        ("interaction_graph", ["--out", "why.docx"], "why.docx: expected a picture as one of: .png, .svg, .pdf"),
        ("interaction_graph", ["--events", "0"], "--events must be at least 1. Received: 0"),
    ],
)
def test_a_mistake_is_an_error_and_nothing_is_written(folder, tmp_path, script, name, arguments, message):
    for table in folder.glob("*.csv"):
        (tmp_path / table.name).write_bytes(table.read_bytes())
    before = sorted(tmp_path.iterdir())
    code, _, err = script(name, *arguments, cwd=tmp_path)
    assert code == 2
    assert message in err
    assert sorted(tmp_path.iterdir()) == before


def test_an_item_that_the_run_does_not_have_is_an_error(films, folder, script):
    code, _, err = script("interaction_graph", "--run", "films", "--item", "f99", cwd=folder)
    assert code == 2
    assert "Unknown item 'f99'" in err


def test_a_run_without_a_graph_is_an_error(tracks, folder, script):
    code, _, err = script("interaction_graph", "--run", "tracks", cwd=folder)
    assert code == 2
    assert "The run is of 'elcorec' without a graph. Train elcorec_graph." in err
    assert not (folder / "why.png").exists()
