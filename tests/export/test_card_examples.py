"""The examples of a model card run, and recommend what the artefacts do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from cards import executed, header, section, snippet, table, text_of

import export
from zoo.data import prepare

# Where package.json names what the examples in JavaScript import.
PACKAGES = Path(__file__).parent.parent.parent / "examples" / "browser" / "node_modules"

BOTH = pytest.mark.parametrize("name", ["bundle", "features_bundle"])
RUNTIMES = {"bundle": "runtimes", "features_bundle": "features_runtimes"}


@BOTH
def test_the_python_example_recommends_what_the_saved_model_does(name, request, monkeypatch):
    bundle, runtimes = request.getfixturevalue(name), request.getfixturevalue(RUNTIMES[name])
    left = executed(bundle, "Python", monkeypatch)
    expected = runtimes["saved_model"].run("recommend", left["query"])
    assert left["items"].tolist() == expected["items"].tolist()
    of_same_file = runtimes["onnx"].run("recommend", left["query"])
    np.testing.assert_allclose(left["scores"], of_same_file["scores"], rtol=1e-5)
    # Another format rounds otherwise, of scores near 0 by more than that share of them.
    np.testing.assert_allclose(left["scores"], expected["scores"], rtol=0, atol=1e-5)
    assert not expected["unknown_user"].any()
    assert not np.isin(left["query"]["exclude"], left["items"]).any()


@BOTH
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (PACKAGES / "onnxruntime-node").is_dir(),
    reason="onnxruntime-node is not installed: npm ci --ignore-scripts --prefix examples/browser",
)
def test_the_javascript_example_recommends_what_the_python_example_does(name, request, monkeypatch, tmp_path):
    bundle = request.getfixturevalue(name)
    left = executed(bundle, "Python", monkeypatch)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    (tmp_path / "onnx").symlink_to(bundle.folder / "onnx")
    told = 'console.error(JSON.stringify(best, (key, it) => (typeof it === "bigint" ? `${it}` : it)));'
    (tmp_path / "example.mjs").write_text(f"{snippet(bundle, 'JavaScript', 'javascript')}{told}", encoding="utf-8")
    ran = subprocess.run(
        ["node", "example.mjs"], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300, check=True
    )
    items, scores = zip(*json.loads(ran.stderr), strict=True)
    assert list(items) == [str(item) for item in left["items"][0]]
    np.testing.assert_allclose(scores, left["scores"][0], rtol=1e-5)


@BOTH
def test_the_curl_examples_fit_the_signatures_and_recommend_the_same(name, request, monkeypatch):
    bundle = request.getfixturevalue(name)
    loaded = tf.saved_model.load(str(bundle.folder / "saved_model" / "1"))
    asked = snippet(bundle, "curl", "bash").strip().split("\n\n")
    bodies = [json.loads(shlex.split(line)[2]) for line in asked]
    assert [body["signature_name"] for body in bodies] == [endpoint.name for endpoint in bundle.endpoints]
    answers = {}
    for body in bodies:
        signature = loaded.signatures[body["signature_name"]]
        specs = signature.structured_input_signature[1]
        inputs = {key: tf.constant(value, specs[key].dtype) for key, value in body["inputs"].items()}
        answers[body["signature_name"]] = signature(**inputs)
    items = [i.decode() if isinstance(i, bytes) else i for i in answers["recommend"]["items"][0].numpy().tolist()]
    assert items == executed(bundle, "Python", monkeypatch)["items"][0].tolist()


@BOTH
def test_the_tflite_example_recommends_what_the_python_example_does(name, request, monkeypatch):
    bundle = request.getfixturevalue(name)
    items = executed(bundle, "TFLite in Python", monkeypatch)["items"]
    padding = next(info.padding for info in bundle.endpoints[0].outputs if info.name == "items")
    expected = [item for item in executed(bundle, "Python", monkeypatch)["items"][0].tolist() if item != padding]
    assert items == expected


def test_the_tflite_example_fits_a_file_of_fixed_sizes(run, bundle, tmp_path, monkeypatch):
    fixed = export.export(run, tmp_path / "fixed", "tflite", batch=2)
    items = executed(fixed, "TFLite in Python", monkeypatch)["items"]
    assert items == executed(bundle, "TFLite in Python", monkeypatch)["items"]
    assert "take 2 queries a call and lists of 500 ids" in text_of(fixed)


def test_the_examples_run_where_ids_are_negative(make_run, datasets, tmp_path, monkeypatch):
    frame = datasets["ids"].interactions[["user", "item"]].assign(item=lambda rows: rows["item"] - 10)
    run = make_run("mf", prepare(frame, split={"name": "random", "valid": 0, "test": 0}))
    bundle = export.export(run, tmp_path / "bundle", ("onnx",))
    left = executed(bundle, "Python", monkeypatch)
    known = set(run.dataset.vocabularies["item"].to_json())
    padding = next(info.padding for info in bundle.endpoints[0].outputs if info.name == "items")
    assert set(left["items"][0].tolist()) - {padding} == known - set(left["query"]["exclude"][0].tolist())


def test_the_clients_of_tf_serving_and_of_phones_are_shown_for_this_bundle(bundle):
    text = text_of(bundle)
    assert f"/models/{bundle.folder.name}/saved_model/models.config" in snippet(bundle, "TF Serving", "bash")
    compile(snippet(bundle, "gRPC", "python"), "gRPC", "exec")
    phones = section(text, "### TFLite in Kotlin and Swift")
    assert "```kotlin\n" in phones
    assert "```swift\n" in phones


def test_the_card_speaks_only_of_formats_that_are_there(run, tmp_path):
    only = text_of(export.export(run, tmp_path / "bundle", ("onnx",)))
    headings = re.findall(r"^### (.*)$", only, re.MULTILINE)
    assert {"Python", "JavaScript"} <= set(headings)
    assert not {"TF Serving", "curl", "gRPC", "TFLite in Python"} & set(headings)
    assert [row[0] for row in table(section(only, "## Wrong requests"))] == ["ONNX Runtime"]
    assert "tensorflow" not in header(only)["tags"]
