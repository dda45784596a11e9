"""Damaged runs and bundles whose checksums were made anew give a valid result or an error that names the file."""

from __future__ import annotations

import json
import random
import shutil

import pytest
from folders import MANIFESTS, USES, damage, try_case

import export
import zoo
from zoo.errors import UserError
from zoo.files import describe_files

CASES = 40


@pytest.fixture(scope="module")
def sources(datasets, tmp_path_factory):
    """A run that reads every kind of feature, and a bundle of it."""
    out = tmp_path_factory.mktemp("sources")
    settings = {"hparams": dict(zoo.info("two_tower").tiny), "evaluate": {"resamples": 20}, "train": {"epochs": 1}}
    run = zoo.train("two_tower", datasets["text"], out=out / "run", progress=False, **settings)
    export.export(run, out / "bundle", ("onnx", "tflite"))
    return {"run": out / "run", "bundle": out / "bundle"}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_what_is_damaged_gives_a_valid_result_or_an_error_of_the_file(sources, kind):
    faults = [try_case(sources[kind], kind, f"0-{number}") for number in range(CASES // 2)]
    assert not list(filter(None, faults))


@pytest.mark.parametrize("kind", MANIFESTS)
def test_what_is_not_damaged_can_be_used(sources, kind):
    USES[kind](sources[kind])


def test_the_same_seed_does_the_same_damage_and_the_checksums_are_those_of_the_files(sources, tmp_path):
    done = [
        damage(shutil.copytree(sources["run"], tmp_path / name), "run", random.Random("7")) for name in ("one", "other")
    ]
    assert done[0] == done[1]
    described = json.loads((tmp_path / "one" / "run.json").read_text(encoding="utf-8"))
    assert described["files"] == describe_files(tmp_path / "one", but="run.json")


@pytest.mark.parametrize(
    ("kind", "file", "content"),
    [
        ("run", "recipe.json", b"{}"),
        ("run", "config.json", b'{"model": 3}'),
        ("run", "metrics.json", b'{"full-ranking/test": {}}'),
        ("run", "history.csv", b"\xff\xfe"),
        ("run", "data/interactions.parquet", b"PAR1"),
        ("run", "data/users.npz", b""),
        ("run", "data/dataset.json", b"[]"),
        ("run", "weights.npz", b"PK\x03\x04"),
        ("bundle", "onnx/recommend.onnx", b"\x08\x07"),
        ("bundle", "tflite/model.tflite", b"\0" * 100),
        ("bundle", "reference.npz", b""),
        ("bundle", "sample.npz", b""),
    ],
)
def test_the_error_names_the_file_and_what_to_do(sources, tmp_path, kind, file, content):
    folder = shutil.copytree(sources[kind], tmp_path / kind)
    (folder / file).write_bytes(content)
    manifest = folder / MANIFESTS[kind]
    described = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**described, "files": describe_files(folder, but=manifest.name)}))
    with pytest.raises(UserError, match=r"(Make it|Train) anew\.") as error:
        USES[kind](folder)
    # A folder of several files, such as that of the data, is named where they are read together.
    named = folder / file
    assert str(named) in str(error.value) or f"{named.parent}: " in str(error.value)
