"""What many tests share: quiet TensorFlow, small data with every kind of feature, small trained runs."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo import registry
from zoo.data import prepare
from zoo.data.dataset import Dataset

logging.getLogger("tensorflow").setLevel(logging.ERROR)

WORDS = ("space", "love", "war", "dragon", "city", "music")


def make_tables(num_users: int = 24, num_items: int = 30, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Interactions in which users of one half like items of one half, with users and items tables."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        liked = rng.permutation(num_items // 2)[:10] + (user % 2) * (num_items // 2)
        other = rng.permutation(num_items)[:2]
        for item in dict.fromkeys([*liked.tolist(), *other.tolist()]):
            rating = 5 if item // (num_items // 2) == user % 2 else 2
            rows.append((f"u{user:02d}", 100 + item, rating, 1_600_000_000 + int(rng.integers(10**6))))
    interactions = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"])
    interactions["device"] = rng.choice(["tv", "phone"], len(interactions))
    users = pd.DataFrame(
        {
            "user": [f"u{user:02d}" for user in range(num_users)],
            "age": rng.integers(18, 80, num_users),
            "group": ["even" if user % 2 == 0 else "odd" for user in range(num_users)],
        }
    )
    items = pd.DataFrame(
        {
            "item": 100 + np.arange(num_items),
            "title": [f"The {WORDS[i % 6]} of {WORDS[i // 6 % 6]} number {i}" for i in range(num_items)],
            "year": 1980 + np.arange(num_items),
            "genres": ["|".join(sorted({WORDS[i % 3], WORDS[i % 5]})) for i in range(num_items)],
        }
    )
    return {"interactions": interactions, "users": users, "items": items}


def make_dataset(kind: str = "text") -> Dataset:
    """The small data with one of three schemas: `"ids"`, `"features"` or `"text"` (features and texts)."""
    tables = make_tables()
    features = {"title": {"kind": "text", "dim": 6} if kind == "text" else "ignore"}
    split = {"name": "random", "valid": 0.1, "test": 0.2}
    if kind == "ids":
        interactions = tables["interactions"].drop(columns="device")
        return prepare(interactions, name="small", max_history=8, split=split)
    return prepare(
        tables["interactions"],
        tables["users"],
        tables["items"],
        name="small",
        max_history=8,
        features=features,
        split=split,
    )


SCHEMAS = ("ids", "features", "text")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Which tests share a process, and so their fixtures.

    Those of a file do, and all files that read the bundle which takes longest to make; of those of all
    architectures, those of each.
    """
    with_bundle = {item.path for item in items if "features_bundle" in item.fixturenames}
    for item in items:
        group = "features_bundle" if item.path in with_bundle else Path(item.path).name
        if group == "test_architectures.py" and hasattr(item, "callspec"):
            group = item.callspec.params.get("name", group)
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_runtest_teardown(item, nextitem):
    """After each group, what is still alive is left out of later collections of garbage.

    Keras and LiteRT collect garbage themselves, which takes longer and longer as a process grows.
    """
    groups = [one and one.get_closest_marker("xdist_group").args for one in (item, nextitem)]
    if groups[0] != groups[1]:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def few_calls():
    """The latency of a bundle is told by as few calls as it takes."""
    from export.bundle import measurements

    measurements.SECONDS = 0


@pytest.fixture
def forgetful_registry():
    """What a test registers is forgotten after it, but not the zoo's own, whose files run once a process."""
    before = dict(registry._registered), dict(registry._builders)
    yield
    ours = {name for name, one in registry._registered.items() if one.module.startswith("zoo.models.")}
    for now, then in zip((registry._registered, registry._builders), before, strict=True):
        kept = {name: one for name, one in now.items() if name in ours and name not in then}
        now.clear()
        now.update(then | kept)


@pytest.fixture(scope="session")
def run_with_plugin(tmp_path_factory):
    """Runs a program in a process of its own, in which `ZOO_PLUGINS` names a file, and gives what the program prints.

    The process starts in the folder of the file, and sees no GPU.
    """

    def run(plugin: str, program: str, *arguments: str) -> str:
        folder = tmp_path_factory.mktemp("plugin")
        file = folder / "own.py"
        file.write_text(plugin, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "ZOO_PLUGINS": str(file), "CUDA_VISIBLE_DEVICES": ""},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def small_tables() -> dict[str, pd.DataFrame]:
    """The tables that the small data is made of."""
    return make_tables()


@pytest.fixture(scope="session")
def datasets() -> dict[str, Dataset]:
    """The small data with each of the three schemas."""
    return {kind: make_dataset(kind) for kind in SCHEMAS}


@pytest.fixture(scope="session")
def make_run():
    """Gives a small run with the weights that an architecture starts with, without the time that training takes."""
    import zoo
    from zoo.config import make_config
    from zoo.run import Run

    def make(name: str, dataset: Dataset, **hparams) -> Run:
        hparams = {**zoo.info(name).tiny, **hparams}
        model = zoo.build(name, dataset.schema, **hparams)
        model.adapt(items=dataset.items)
        return Run(model, dataset, make_config(name, {"hparams": hparams}), [])

    return make
