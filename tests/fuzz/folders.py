"""Damages runs and bundles and makes their checksums anew, as somebody might who edits files by hand.

    python tests/fuzz/folders.py RUN BUNDLE --cases 500 --seed 7

Whatever is opened then gives a valid result or a `ZooError`. Any other error is printed with its case, and the program
exits with 1.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import export
import zoo
from zoo.errors import UserError, ZooError
from zoo.files import describe_files

MANIFESTS = {"run": "run.json", "bundle": "manifest.json"}
VALUES = (None, True, -1, 0, 10**12, 1e308, "", "x", "user", [], {}, [None], {"a": 1}, "1" * 50)


def damage(folder: Path, kind: str, draw: random.Random) -> str:
    """Damages one file of a run or a bundle and makes the checksums anew; says what was done."""
    manifest = folder / MANIFESTS[kind]
    path = draw.choice(sorted(one for one in folder.rglob("*") if one.is_file()))
    ways: list[Callable[[Path, random.Random], str]] = [flip, overwrite, cut, empty, delete]
    for suffix, way in ((".json", edit_json), (".npz", edit_arrays), (".parquet", edit_table)):
        if path.suffix == suffix:
            ways = [*ways[:3], *[way] * 6]
    # Nothing is opened without its manifest, so that is only edited.
    done = (edit_json if path == manifest else draw.choice(ways))(path, draw)
    described = json.loads(manifest.read_text(encoding="utf-8"))
    if isinstance(described, dict):
        described["files"] = describe_files(folder, but=manifest.name)
        manifest.write_text(json.dumps(described), encoding="utf-8")
    return f"{path.relative_to(folder)}: {done}"


def flip(path: Path, draw: random.Random) -> str:
    """Flips some bits."""
    content = bytearray(path.read_bytes())
    places = [draw.randrange(len(content)) for _ in range(draw.choice((1, 5)))] if content else []
    for place in places:
        content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"bits at {places} flipped"


def overwrite(path: Path, draw: random.Random) -> str:
    """Writes noise over some bytes."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content) + 1)
    content[place : place + 16] = draw.randbytes(16)
    path.write_bytes(content)
    return f"16 bytes from {place} on overwritten"


def cut(path: Path, draw: random.Random) -> str:
    """Keeps the beginning."""
    content = path.read_bytes()
    size = draw.randrange(len(content) + 1)
    path.write_bytes(content[:size])
    return f"cut to {size} of {len(content)} bytes"


def empty(path: Path, draw: random.Random) -> str:
    """Leaves nothing in it."""
    path.write_bytes(b"")
    return "emptied"


def delete(path: Path, draw: random.Random) -> str:
    """Deletes it."""
    path.unlink()
    return "deleted"


def edit_json(path: Path, draw: random.Random) -> str:
    """Gives one place another value, or leaves the place out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(content))
    holder, key = draw.choice(places) if places else (None, None)
    if holder is None:
        return "left as it is"
    if isinstance(holder, dict) and draw.random() < 0.3:
        del holder[key]
        done = f"{key!r} left out"
    else:
        holder[key] = copy.deepcopy(draw.choice(VALUES))
        done = f"{key!r} set to {holder[key]!r}"
    path.write_text(json.dumps(content), encoding="utf-8")
    return done


def _places(content: object) -> Iterator[tuple[object, object]]:
    """Every place in JSON, but not those of checksums; the outer ones more often than the many inner ones."""
    if isinstance(content, (dict, list)):
        for key in list(content) if isinstance(content, dict) else range(min(len(content), 3)):
            if key != "files":
                yield content, key
                yield from _places(content[key])


def edit_arrays(path: Path, draw: random.Random) -> str:
    """Gives one array another shape, type or name, other values, or leaves it out."""
    with np.load(path) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    if not found:
        return "left as it is"
    name = draw.choice(list(found))
    array = found.pop(name)
    changes = {
        "left out": lambda: None,
        "renamed": lambda: found.update({"other": array}),
        "shorter": lambda: found.update({name: array[:-1] if array.ndim else array.reshape(1)}),
        "of texts": lambda: found.update({name: array.astype(str)}),
        "of one more dimension": lambda: found.update({name: array[None]}),
        "of other numbers": lambda: found.update({name: np.full(array.shape, 10**6)}),
        "empty": lambda: found.update({name: np.zeros(0)}),
    }
    done = draw.choice(list(changes))
    changes[done]()
    np.savez(path, **found)
    return f"{name} {done}"


def edit_table(path: Path, draw: random.Random) -> str:
    """Leaves out a column or all rows, or gives a column other values."""
    frame = pd.read_parquet(path)
    column = draw.choice(list(frame.columns))
    changes = {
        "left out": lambda: frame.drop(columns=column),
        "renamed": lambda: frame.rename(columns={column: "other"}),
        "of texts": lambda: frame.assign(**{column: "x"}),
        "of large numbers": lambda: frame.assign(**{column: 10**6}),
        "of nothing": lambda: frame.assign(**{column: None}),
        "without rows": lambda: frame[:0],
    }
    done = draw.choice(list(changes))
    changes[done]().to_parquet(path, index=False)
    return f"column {column} {done}"


def use_run(folder: Path) -> None:
    """Loads a run and asks it for recommendations, which are of its catalogue."""
    run = zoo.load(folder)
    str(run), repr(run)
    user = run.dataset.vocabularies["user"].values[0]
    frame = run.recommend([user, "nobody"], k=2)
    assert len(frame) <= 4
    assert set(frame["item"]) <= set(run.dataset.vocabularies["item"].values)


def use_bundle(folder: Path) -> None:
    """Opens a bundle and verifies it, which passes or says why not."""
    str(export.open_bundle(folder))
    assert all(check.passed for check in export.verify(folder))


USES: dict[str, Callable[[Path], None]] = {"run": use_run, "bundle": use_bundle}


def try_case(source: Path, kind: str, seed: str) -> str:
    """Damages a copy of a folder and uses the copy.

    Args:
        source: The run or bundle.
        kind: `"run"` or `"bundle"`.
        seed: What decides the damage.

    Returns:
        Nothing if all went well, else what was damaged, and the traceback.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(source, Path(scratch) / kind))
        done = damage(folder, kind, random.Random(seed))
        print(f"{kind}, seed {seed}, {done}", flush=True)
        try:
            USES[kind](folder)
        except UserError as error:
            return "" if str(folder) in str(error) else f"{done}: the error names no file: {error}"
        except ZooError:
            # An artefact that does not answer as the trained model did.
            return "" if kind == "bundle" else f"{done}\n{traceback.format_exc()}"
        except Exception:
            return f"{done}\n{traceback.format_exc()}"
        return ""


def main() -> int:
    """Tries some cases on a run and a bundle. Gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cases", type=int, default=40, help="Half of them damage the run, half the bundle.")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    faults = []
    for number in range(asked.cases):
        kind = ("run", "bundle")[number % 2]
        fault = try_case(getattr(asked, kind), kind, f"{asked.seed}-{number}")
        if fault:
            faults.append(fault)
            print(f"FAULT {fault}", flush=True)
    print(f"{asked.cases} cases, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
