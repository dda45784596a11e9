"""Damages and oddities in tables of every kind: each ends in data that can be used, or in a `UserError`.

Run by hand with more cases: `python tests/fuzz/data_files.py --cases 10000 --seed 7`. It prints how many ended in data
and how many in errors, and every case that ended otherwise, which `--only NUMBER` runs again.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.saving import read_dataset

ODD = (
    *("", " ", "NULL", "None", "nan", "inf", "-inf", "1e39", "1e400", "-0", "1.0", "007", " 7 ", "true", "[]", "['a'"),
    *("1e308", "9" * 30, "2024-02-30", "0001-01-01", "9999-12-31T23:59:59", "20240229", "1709210096000", "\x00"),
    *("\ufeff", "\U0001f600", "é", '"', "'", ",", ";", "|", "::", "\t", "\n", "\r\n", "a,b\n", "=1+1", "../../x"),
    *("<b>", "\x1b[31m"),
    *("x" * 70_000, "年", "\u202e", "1,5", "0x10", "1_000", "+3", "{}", "(1, 2)", "[1, [2]]", "nan|inf", "b'a'"),
)
NAMES = ("user", "item", "rating", "timestamp", "time", "date", "split", "title", "genres", "hour", "price", "")
KINDS = ("csv", "csv", "csv", "tsv", "dat", "json", "jsonl", "parquet", "feather", "db", "frame", "records")


def table(rng: random.Random) -> pd.DataFrame:
    """A small table of interactions as text, most of it sound."""
    size = rng.choice([1, 2, 5, 30, 60])
    columns = {
        "user": [f"u{rng.randrange(8)}" for _ in range(size)] if rng.random() < 0.5 else list(range(size)),
        "item": [rng.randrange(10) for _ in range(size)],
        "rating": [rng.randrange(1, 6) for _ in range(size)],
        "timestamp": [1_700_000_000 + rng.randrange(10**6) for _ in range(size)],
        "price": [rng.random() for _ in range(size)],
        "title": [f"The film number {rng.randrange(10)}" for _ in range(size)],
        "genres": [rng.choice(["a|b", "['a', 'b']", "a", ""]) for _ in range(size)],
    }
    kept = [name for name in columns if name in ("user", "item") or rng.random() < 0.6]
    return pd.DataFrame({name: columns[name] for name in kept}).astype(object)


def with_odd_values(frame: pd.DataFrame, rng: random.Random) -> pd.DataFrame:
    """The table with a few odd values, names or columns."""
    frame = frame.copy()
    for _ in range(rng.choice([0, 0, 1, 1, 3])):
        row, column = rng.randrange(len(frame)), rng.randrange(frame.shape[1])
        frame.iat[row, column] = rng.choice(ODD)
    if rng.random() < 0.1:
        frame.isetitem(rng.randrange(frame.shape[1]), rng.choice(ODD))
    if rng.random() < 0.1:
        names = list(frame.columns)
        names[rng.randrange(len(names))] = rng.choice((*NAMES, *ODD))
        frame = frame.set_axis(names, axis=1)
    if rng.random() < 0.05:
        frame = frame.drop(columns=frame.columns[rng.randrange(frame.shape[1])])
    return frame


def write(frame: pd.DataFrame, folder: Path, rng: random.Random) -> Path | pd.DataFrame | list:
    """The table in a file of some kind, or in memory."""
    as_text = frame.astype(str)
    kind = rng.choice(KINDS)
    path = folder / f"a.{kind}"
    separator = {"tsv": "\t", "dat": "::"}.get(kind) or rng.choice(",;|")
    if kind in ("csv", "tsv") and rng.random() < 0.7:
        as_text.to_csv(path, sep=separator, index=False, header=rng.random() < 0.8, escapechar="\\")
    elif kind in ("csv", "tsv", "dat"):
        rows = [list(map(str, frame.columns)), *as_text.to_numpy().tolist()]
        text = "\n".join(separator.join(row) for row in rows[rng.random() < 0.3 :])
        path.write_text(text, encoding=rng.choice(["utf-8", "utf-16", "utf-8-sig"]), errors="surrogatepass")
    elif kind == "json":
        as_text.to_json(path, orient=rng.choice(["records", "columns", "split", "index", "values"]))
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True, default_handler=str)
    elif kind == "parquet":
        as_text.to_parquet(path)
    elif kind == "feather":
        as_text.to_feather(path)
    elif kind == "db":
        with contextlib.closing(sqlite3.connect(path)) as database:
            as_text.to_sql("a", database, index=False)
            database.commit()
    else:
        return frame if kind == "frame" else frame.to_dict("records")
    return path


def damaged(path: Path, rng: random.Random) -> None:
    """Flips, cuts, repeats or empties some bytes of a file."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([0, 0, 0, 0, 1, 3])):
        at = rng.randrange(len(data)) if data else 0
        how = rng.choice(["flip", "cut", "repeat", "insert", "end"])
        if how == "flip" and data:
            data[at] = rng.randrange(256)
        elif how == "cut":
            del data[at : at + rng.randrange(1, 50)]
        elif how == "repeat":
            data[at:at] = data[at : at + 40]
        elif how == "insert":
            data[at:at] = rng.choice(ODD)[:100].encode("utf-8", "surrogatepass")
        else:
            del data[at:]
    path.write_bytes(bytes(data))


def options_of(rng: random.Random) -> dict[str, object]:
    """Options of `prepare`, some of them nonsense."""
    options: dict[str, object] = {"split": {"name": "random", "valid": 0, "test": 0}}
    choices = {
        "separator": [",", ";", "::", "", "\n", "xx"],
        "encoding": ["utf-8", "cp1252", "utf-16", "base64", "x", ""],
        "header": [True, False],
        "table": ["a", "b", ""],
        "columns": [{"user": "item"}, {"1": "user", "2": "item"}, {"x": "user"}, {"price": "rating"}, {}],
        "features": [{"price": "text"}, {"title": "numeric"}, {"genres": {"separator": ""}}, {"x": "ignore"}],
        "duplicates": ["last", "sum", "keep", "all"],
        "label_threshold": [3, float("nan"), 1e400],
        "max_history": [1, 10**12, None],
        "event_weights": [{"a": 1}, {}],
    }
    for name in rng.sample(list(choices), rng.choice([0, 0, 0, 0, 1, 2])):
        options[name] = rng.choice(choices[name])
    return options


def check_usable(data: Dataset, folder: Path) -> None:
    """Raises an `AssertionError` unless all numbers are finite and the data comes back as it was saved."""
    for name, values in {**data.users, **data.items}.items():
        assert np.isfinite(values).all(), f"{name} is not finite"
    for name in ("label", "timestamp", "rating"):
        if name in data.interactions:
            assert np.isfinite(data.interactions[name].to_numpy(np.float64)).all(), f"{name} is not finite"
    for feature in data.schema:
        assert np.isfinite([feature.mean, feature.std]).all(), f"{feature.name} has no finite spread"
    data.save(folder)
    again = read_dataset(folder)
    assert again.interactions.equals(data.interactions), "the interactions did not come back"
    assert all(again.vocabularies[name] == one for name, one in data.vocabularies.items()), "an id did not come back"


def outcome(seed: int, number: int) -> str:
    """What a case ends in: `"data"`, `"error"`, or the traceback of what it should not end in."""
    rng = random.Random(f"{seed}:{number}")
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(place)
        source = write_some(folder, rng)
        options = options_of(rng)
        try:
            (folder / "saved").mkdir()
            check_usable(prepare(source, **options), folder / "saved")
        except UserError as error:
            return "error" if str(error).strip() else "an error without words"
        except Exception:
            return f"{traceback.format_exc()}\noptions: {options}\nsource: {source}"
        return "data"


def write_some(folder: Path, rng: random.Random) -> object:
    """A table somewhere, perhaps damaged. What pandas itself cannot write is tried again."""
    while True:
        with contextlib.suppress(Exception):
            source = write(with_odd_values(table(rng), rng), folder, rng)
            if isinstance(source, Path):
                damaged(source, rng)
            return source


def main() -> None:
    """Runs cases and prints what they ended in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="Run this case alone.")
    arguments = parser.parse_args()
    counts = {"data": 0, "error": 0, "other": 0}
    for number in range(arguments.cases) if arguments.only is None else [arguments.only]:
        ended = outcome(arguments.seed, number)
        counts[ended if ended in counts else "other"] += 1
        if ended not in counts:
            print(f"case {number}:\n{ended}", flush=True)
    print(", ".join(f"{count} ended in {what}" for what, count in counts.items()))


if __name__ == "__main__":
    main()
