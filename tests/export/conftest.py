"""Small recommenders and their bundles, made once and only read; a test that damages one copies it first."""

from __future__ import annotations

import shutil
from typing import Any

import pandas as pd
import pytest

import export
import zoo
from export.formats import open_runtime
from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.run import Run

AWKWARD_IDS = ("a,b", 'say "hi"', "it's", "😀", "007", "7", "1e5", "NA", "日本", "é", "back\\slash", "{}")


def string_dataset() -> Dataset:
    """Interactions whose users and items are strings that are easily mangled, with more plain ones."""
    users = [*AWKWARD_IDS, *(f"user {i}" for i in range(6))]
    items = [*AWKWARD_IDS, *(f"item {i}" for i in range(8))]
    rows = [(user, items[(i * 3 + j * (1 + i % 2)) % len(items)]) for i, user in enumerate(users) for j in range(8)]
    frame = pd.DataFrame(rows, columns=["user", "item"])
    return prepare(frame, name="awkward", split={"name": "random", "valid": 0.1, "test": 0.2})


def load_artefacts(bundle: export.Bundle) -> dict[str, Any]:
    """What runs each format of a bundle."""
    return {name: open_runtime(bundle.folder, name, bundle.endpoints, bundle.version) for name in bundle.artefacts}


@pytest.fixture(scope="session")
def run() -> Run:
    """A matrix factorization trained on awkward string ids."""
    settings = {"train": {"epochs": 1, "learning_rate": 0.05}, "hparams": dict(zoo.info("mf").tiny)}
    return zoo.train("mf", string_dataset(), progress=False, **settings)


@pytest.fixture(scope="session")
def bundle(run, tmp_path_factory) -> export.Bundle:
    """`run` in every format."""
    return export.export(run, tmp_path_factory.mktemp("bundles") / "mf")


@pytest.fixture(scope="session")
def runtimes(bundle):
    """Every artefact of `bundle`, loaded."""
    return load_artefacts(bundle)


@pytest.fixture(scope="session")
def features_run(make_run, datasets) -> Run:
    """An architecture that reads ids (strings and integers), numbers, categories, histories and texts."""
    return make_run("elcorec", datasets["text"])


@pytest.fixture(scope="session")
def features_bundle(features_run, tmp_path_factory) -> export.Bundle:
    """`features_run` in every format."""
    return export.export(features_run, tmp_path_factory.mktemp("bundles") / "elcorec")


@pytest.fixture(scope="session")
def features_runtimes(features_bundle):
    """Every artefact of `features_bundle`, loaded."""
    return load_artefacts(features_bundle)


@pytest.fixture
def damaged(bundle, tmp_path):
    """A copy of `bundle` for a test to damage."""
    return shutil.copytree(bundle.folder, tmp_path / "damaged")
