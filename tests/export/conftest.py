"""Small recommenders and their bundles, made once and only read; a test that damages one copies it first."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from shops import K, catalogue, row_of

import export
import zoo
from export.bundle.card import model_card
from export.bundle.refresh import Refreshed, refresh
from export.formats import open_runtime
from export.verification.queries import sample_requests
from export.verification.reference import load_sample
from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.run import Run
from zoo.schema import Vocabulary

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


@pytest.fixture
def changed_card(bundle) -> Callable[..., str]:
    """The card of a bundle whose manifest says something else."""
    raw = json.loads((bundle.folder / "preprocessing" / "dataset.json").read_text())["vocabularies"]["item"]
    sample = load_sample(bundle.folder)
    requests = {e.name: sample_requests(e, Vocabulary(raw), sample) for e in bundle.endpoints}

    def make(**changes: Any) -> str:
        return model_card(copy.deepcopy(bundle.manifest) | changes, requests, "mf")

    return make


@pytest.fixture(scope="session")
def towers_run(make_run, datasets) -> Run:
    """Two towers that read every feature, of which the small data has all kinds."""
    return make_run("two_tower", datasets["text"], temperature=1.0)


@pytest.fixture(scope="session")
def shop(towers_run, tmp_path_factory) -> export.Bundle:
    return export.export(towers_run, tmp_path_factory.mktemp("shop") / "bundle", ("tflite",), k=K)


@pytest.fixture(scope="session")
def items(datasets) -> pd.DataFrame:
    return catalogue(datasets["text"])


@pytest.fixture(scope="session")
def refreshed(shop, items, tmp_path_factory) -> Refreshed:
    """100 and 101 are withdrawn, 105 has the features of 106, 500 is new with those of 103, 501 with unknown ones."""
    like_106 = row_of(items, 106, item=105)
    like_103 = row_of(items, 103, item=500)
    unlike_any = row_of(items, 103, item=501, genres="never seen|neither", title="", year=None)
    rest = items[~items["item"].isin([100, 101, 105])]
    return refresh(
        shop, pd.concat([unlike_any, rest, like_106, like_103]), tmp_path_factory.mktemp("refreshed") / "bundle"
    )


@pytest.fixture(scope="session")
def ids_shop(make_run, datasets, tmp_path_factory) -> export.Bundle:
    """A matrix factorization, which knows items by their ids."""
    return export.export(
        make_run("mf", datasets["ids"]), tmp_path_factory.mktemp("ids") / "bundle", ("saved_model",), k=K
    )


@pytest.fixture(scope="session")
def run_folder(run, tmp_path_factory) -> Path:
    """`run` as a folder."""
    return run.save(tmp_path_factory.mktemp("runs") / "mf")
