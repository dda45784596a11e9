"""The model card says what there is, and what it says to run runs."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tensorflow as tf

import export
from zoo.data import prepare


def card(bundle) -> str:
    return (bundle.folder / "README.md").read_text(encoding="utf-8")


def snippets(bundle) -> dict[str, str]:
    """The Python snippets of a card by the heading above each."""
    sections = re.findall(r"^### ([^\n]+)\n(.*?)(?=^#|\Z)", card(bundle), re.MULTILINE | re.DOTALL)
    blocks = {title: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, text in sections}
    return {title: found[0] for title, found in blocks.items() if found}


def executed(bundle, title, monkeypatch) -> dict:
    """What a snippet leaves behind, run from the folder of the bundle as a reader would."""
    monkeypatch.chdir(bundle.folder)
    namespace: dict = {}
    exec(snippets(bundle)[title], namespace)
    return namespace


def test_the_card_names_architecture_data_protocol_and_metrics(bundle):
    text = card(bundle)
    assert text.startswith("# mf on awkward\n")
    (evaluation,) = bundle.manifest["metrics"].values()
    assert f"Protocol `{evaluation['protocol']}`: {evaluation['about']}" in text
    for name, value in evaluation["metrics"].items():
        assert f"| {name} | {value['mean']:.4f} | {value['low']:.4f} to {value['high']:.4f} |" in text
    for note in bundle.manifest["data"]["notes"]:
        assert f"- {note}" in text


def test_the_card_of_a_model_that_was_not_evaluated_says_so(features_bundle):
    assert "## Metrics\n\nNone" in card(features_bundle)


def test_the_card_describes_every_input_and_output_of_every_endpoint(features_bundle):
    text = card(features_bundle)
    for endpoint in features_bundle.endpoints:
        section = text.split(f"### {endpoint.name}\n")[1].split("\n#")[0]
        for kind, infos in (("input", endpoint.inputs), ("output", endpoint.outputs)):
            rows = re.findall(rf"\| {kind} \| (\w+) \| (\w+) \|", section)
            assert rows == [(info.name, info.dtype) for info in infos]


def test_the_card_gives_the_parity_of_every_check(bundle):
    for check in bundle.manifest["parity"]:
        row = f"| {check['format']} | {check['endpoint']} | {check['batch_size']} | {check['queries']} |"
        assert f"{row} {check['largest_difference']:.1e} |" in card(bundle)


def test_the_card_tells_how_to_call_the_formats_there_are(bundle, run, tmp_path):
    assert set(snippets(bundle)) == {"ONNX Runtime", "TFLite"}
    assert "tensorflow/serving" in card(bundle)
    only = export.export(run, tmp_path / "bundle", ("onnx",))
    assert set(snippets(only)) == {"ONNX Runtime"}
    assert "tensorflow/serving" not in card(only)


@pytest.mark.parametrize("name", ["bundle", "features_bundle"])
def test_the_onnx_runtime_snippet_runs_and_recommends(request, monkeypatch, name):
    bundle = request.getfixturevalue(name)
    left = executed(bundle, "ONNX Runtime", monkeypatch)
    assert left["items"].shape == left["scores"].shape == (1, bundle.manifest["k"])
    assert len(set(left["items"][0].tolist())) == bundle.manifest["k"]
    assert np.isfinite(left["scores"]).all()


@pytest.mark.parametrize("name", ["bundle", "features_bundle"])
def test_the_tflite_snippet_runs_and_its_vocabularies_name_what_it_recommends(
    request, monkeypatch, name, runtimes, features_runtimes
):
    bundle = request.getfixturevalue(name)
    left = executed(bundle, "TFLite", monkeypatch)
    vocabulary = left["vocabularies"]["item"]
    items = [vocabulary["values"][index - vocabulary["first_index"]] for index in left["answer"]["items"][0]]
    assert sorted(items) == sorted(vocabulary["values"])


def test_the_onnx_runtime_snippet_recommends_where_ids_are_negative(make_run, datasets, tmp_path, monkeypatch):
    frame = datasets["ids"].interactions[["user", "item"]].assign(item=lambda rows: rows["item"] - 10)
    run = make_run("mf", prepare(frame, split={"name": "random", "valid": 0, "test": 0}))
    bundle = export.export(run, tmp_path / "bundle", ("onnx",))
    known = set(run.dataset.vocabularies["item"].to_json())
    assert set(executed(bundle, "ONNX Runtime", monkeypatch)["items"][0].tolist()) == known


def test_the_request_for_tf_serving_fits_the_signature(bundle):
    request = json.loads(re.search(r"curl -d '(.*)' localhost", card(bundle)).group(1))
    loaded = tf.saved_model.load(str(bundle.folder / "saved_model" / "1"))
    signature = loaded.signatures[request["signature_name"]]
    specs = signature.structured_input_signature[1]
    answer = signature(**{name: tf.constant(value, specs[name].dtype) for name, value in request["inputs"].items()})
    assert answer["items"].shape[0] == 1
