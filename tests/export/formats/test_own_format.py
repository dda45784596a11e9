"""A format in a file of one's own goes through export, verification, the card, the commands and the table of sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import export
from export.formats import FORMATS, open_runtime
from export.formats.base import find_artefact
from zoo.errors import UserError, ZooError
from zoo.registries import run_plugin_files

FILE = '''
"""The vectors of users and items in one file, ranked by NumPy."""

import numpy as np

from export.formats import FORMATS, Artefact, Format, Option
from zoo.errors import UserError
from zoo.families.top_k import NO_ITEM_SCORE


class NumpyRuntime:
    def __init__(self, path, endpoints):
        stored = np.load(path)
        self.raw = {name: stored[name].tolist() for name in ("user", "item")}
        self.users, self.items = stored["users"], stored["items"]
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}

    def run(self, endpoint, inputs):
        infos = self.endpoints[endpoint].inputs
        found = {info.name: self.indices(info, inputs[info.name]) for info in infos}
        unknown = {f"unknown_{name}": (values == 1).astype(np.int32) for name, values in found.items()}
        return {**getattr(self, endpoint)(**found), **unknown}

    def indices(self, info, values):
        known = {raw: index for index, raw in enumerate(self.raw[info.vocabulary]) if index > 1} | {info.padding: 0}
        return np.array([known.get(value, 1) for value in values.ravel().tolist()], int).reshape(values.shape)

    def embed_query(self, user):
        return {"vectors": self.users[user]}

    def embed_items(self, items):
        return {"vectors": self.items[items]}

    def score(self, user, items):
        return {"scores": np.einsum("bd,bnd->bn", self.users[user], self.items[items])}

    def recommend(self, user, exclude, candidates):
        scores = self.users[user] @ self.items.T
        for row, (left_out, chosen) in enumerate(zip(exclude, candidates)):
            allowed = np.isin(np.arange(len(self.items)), chosen) if chosen.any() else np.ones(len(self.items), bool)
            allowed[[0, 1, *left_out]] = False
            scores[row, ~allowed] = NO_ITEM_SCORE
        (k,) = (info.shape[1] for info in self.endpoints["recommend"].outputs if info.name == "items")
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, best, axis=1)
        best[scores == NO_ITEM_SCORE] = 0
        return {"items": np.array(self.raw["item"], object)[best], "scores": scores}


class Vectors(Format):
    name = "vectors"
    title = "Vectors"
    tags = ("numpy",)
    artefacts = (Artefact("vectors", "Vectors (NumPy)", "vectors/vectors.npz"),)
    options = (Option("factor", "1 or -1, what scores are multiplied with.", int),)
    wrong_requests = (("NumPy", "`KeyError` that names the input", "the values are unknown"),)
    about_ids = "Vectors are found by raw ids."

    def check(self, options):
        if options["factor"] not in (None, 1, -1):
            raise UserError(f"factor must be 1 or -1. Received: {options['factor']}.")

    def write(self, folder, source, options):
        folder.mkdir()
        users = np.arange(source.vocabularies["user"].size, dtype=np.int32)
        np.savez(
            folder / "vectors.npz",
            users=np.asarray(source.graphs.model.encode_query({"user": users})) * (options["factor"] or 1),
            items=source.graphs.catalogue[0].numpy(),
            **{name: source.vocabularies[name].raw.astype(str) for name in ("user", "item")},
        )

    def open(self, place, endpoints):
        return NumpyRuntime(place, endpoints)

    def how_to_call(self, call):
        return ["### NumPy\\n\\nLoad `vectors/vectors.npz` and multiply."]

    def limits(self, options, losses):
        yield "Vectors need an architecture of two towers."


FORMATS.register(Vectors())
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The file, registered in this process while a test runs."""
    path = tmp_path / "vectors_format.py"
    path.write_text(FILE)
    assert "vectors" not in FORMATS
    modules = set(sys.modules)
    monkeypatch.setenv("ZOO_PLUGINS", str(path))
    run_plugin_files()
    yield path
    FORMATS._objects.pop("vectors", None)
    FORMATS._homes.pop("vectors", None)
    for name in set(sys.modules) - modules:
        if name.startswith("zoo_plugins"):
            del sys.modules[name]


def test_a_format_of_ones_own_is_exported_verified_and_described(plugin, run, tmp_path):
    bundle = export.export(run, tmp_path / "bundle", "vectors")
    assert (bundle.formats, bundle.artefacts) == (("vectors",), ("vectors",))
    assert {check.endpoint for check in export.verify(bundle)} == {"recommend", "score", "embed_query", "embed_items"}
    size = (bundle.folder / "vectors" / "vectors.npz").stat().st_size
    assert bundle.manifest["artefact_facts"]["artefacts"]["vectors"]["bytes"] == size
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")
    assert "| Vectors (NumPy) | `vectors/vectors.npz` |" in card
    assert "| ✓ | Vectors (NumPy) | recommend | 64 |" in card
    for said in (
        "- numpy\n",
        "Vectors are found by raw ids.",
        "### NumPy",
        "- Vectors need an architecture",
        "| NumPy |",
    ):
        assert said in card
    runtime = open_runtime(bundle.folder, "vectors", bundle.endpoints, bundle.version)
    asked = {"user": np.array(["007"], object), "items": np.array([["7", "nobody"]], object)}
    assert runtime.run("score", asked)["unknown_items"].tolist() == [[0, 1]]
    assert "vectors: " in str(bundle)


def test_an_option_of_a_format_of_ones_own_is_checked_and_changes_what_is_written(plugin, run, tmp_path):
    with pytest.raises(UserError, match=r"factor must be 1 or -1\. Received: 2"):
        export.export(run, tmp_path / "bundle", "vectors", factor=2)
    with pytest.raises(UserError, match="factor: only for Vectors, which was not asked for"):
        export.export(run, tmp_path / "bundle", "onnx", factor=-1)
    with pytest.raises(UserError, match=r"Unknown option 'facotr'\. Did you mean 'factor'"):
        export.export(run, tmp_path / "bundle", "vectors", facotr=1)
    with pytest.raises(ZooError, match="vectors recommend, batch 64"):
        export.export(run, tmp_path / "bundle", "vectors", factor=-1)
    assert not (tmp_path / "bundle").exists()


def test_the_commands_know_a_format_of_ones_own(plugin, run, tmp_path):
    run.save(tmp_path / "run")
    environment = {**os.environ, "ZOO_PLUGINS": str(plugin)}

    def zoo_command(*arguments: str) -> str:
        asked = [sys.executable, "-m", "zoo", *arguments]
        ran = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return ran.stdout

    told = " ".join(zoo_command("export", "--help").split())
    assert "vectors" in told
    assert "--factor" in told
    told = zoo_command("export", "run", "--out", "bundle", "--format", "vectors", "--factor", "1")
    assert "✓ vectors: 12 checks" in told
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["options"]["factor"] == 1


def test_an_artefact_that_no_format_writes_is_named_with_the_near_ones():
    with pytest.raises(UserError, match=r"Unknown artefact 'tflite-int4'\. Did you mean 'tflite-int8'"):
        find_artefact("tflite-int4")


def test_a_bundle_with_an_artefact_of_an_unknown_format_is_refused(plugin, run, tmp_path):
    bundle = export.export(run, tmp_path / "bundle", "vectors")
    FORMATS._objects.pop("vectors")
    with pytest.raises(UserError, match="holds the format 'vectors', which is not registered"):
        export.open_bundle(bundle.folder)
