"""The TFLite file runs on built-in operators alone and carries all it needs."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from export import tflite
from export.endpoints import EndpointGraphs
from export.verification import verify_artefacts, write_reference
from zoo.data import prepare


def operators(path) -> dict[int, str | None]:
    """The operators of a file: the custom name of each, if it has one, by built-in code."""
    model = schema.Model.GetRootAs(path.read_bytes())
    codes = (model.OperatorCodes(i) for i in range(model.OperatorCodesLength()))
    return {max(code.BuiltinCode(), code.DeprecatedBuiltinCode()): code.CustomCode() for code in codes}


def assert_built_in(path):
    used = operators(path)
    assert schema.BuiltinOperator.TOPK_V2 in used
    assert schema.BuiltinOperator.CUSTOM not in used
    assert not any(used.values())


@pytest.mark.parametrize("name", ["bundle", "features_bundle"])
def test_all_operators_are_built_in(request, name):
    assert_built_in(request.getfixturevalue(name).folder / "tflite" / tflite.FILE)


def test_a_recurrent_network_too_has_built_in_operators_only_and_runs(make_run, datasets, tmp_path):
    run = make_run("lstm", datasets["ids"])
    graphs = EndpointGraphs(run.model, run.dataset)
    tflite.write(graphs, {"item": run.dataset.vocabularies["item"]}, tmp_path / "tflite")
    assert_built_in(tmp_path / "tflite" / tflite.FILE)
    write_reference(run.model, run.dataset, graphs, tmp_path)
    checks = verify_artefacts(tmp_path, graphs.endpoints, ("tflite",))
    assert all(check.passed for check in checks), checks


def test_one_file_has_one_signature_an_endpoint(bundle):
    signatures = Interpreter(str(bundle.folder / "tflite" / tflite.FILE)).get_signature_list()
    assert {name: set(parts["inputs"]) for name, parts in signatures.items()} == {
        "recommend": {"user", "exclude", "candidates"},
        "score": {"user", "items"},
    }
    assert set(signatures["recommend"]["outputs"]) == {"items", "scores"}


def test_the_vocabularies_are_readable_by_any_zip_reader(features_bundle, features_run):
    path = features_bundle.folder / "tflite" / tflite.FILE
    assert zipfile.is_zipfile(path)
    with zipfile.ZipFile(path) as attached:
        assert attached.testzip() is None
        assert attached.namelist() == ["vocabularies.json"]
        vocabularies = json.loads(attached.read("vocabularies.json"))
    assert set(vocabularies) == {"user", "group", "item", "device"}
    for name, described in vocabularies.items():
        vocabulary = features_run.dataset.vocabularies[name]
        assert described == {
            "first_index": 2,
            "padding": vocabulary.padding_value,
            "values": vocabulary.to_json(),
        }


def test_awkward_ids_survive_the_attached_vocabulary(bundle, run):
    with zipfile.ZipFile(bundle.folder / "tflite" / tflite.FILE) as attached:
        vocabularies = json.loads(attached.read(tflite.VOCABULARIES))
    assert vocabularies["item"]["values"] == run.dataset.vocabularies["item"].to_json()
    assert {"a,b", 'say "hi"', "😀", "007", "7"} <= set(vocabularies["item"]["values"])


def test_indices_go_in_and_come_out(bundle, run):
    recommend = Interpreter(str(bundle.folder / "tflite" / tflite.FILE)).get_signature_runner("recommend")
    users = np.array([2, 1, 7], np.int32)
    exclude = np.array([[3, 4], [0, 0], [1, 21]], np.int32)
    answer = recommend(user=users, exclude=exclude, candidates=np.zeros((3, 1), np.int32))
    items, scores = run.model.recommend({"user": users}, 20, exclude=exclude)
    np.testing.assert_array_equal(answer["items"], items)
    np.testing.assert_allclose(answer["scores"], scores, rtol=0, atol=1e-5)


def test_a_table_that_both_signatures_read_is_stored_once(make_run, tmp_path):
    frame = pd.DataFrame({"user": np.arange(20_000) % 50, "item": np.arange(20_000)})
    dataset = prepare(frame, split={"name": "random", "valid": 0, "test": 0})
    run = make_run("mf", dataset, embedding_dim=64)
    graphs = EndpointGraphs(run.model, dataset)
    tflite.write(graphs, dataset.vocabularies, tmp_path)
    table = sum(4 * np.prod(rows.shape) for rows in graphs.catalogue)
    assert table < (tmp_path / tflite.FILE).stat().st_size < 1.3 * table
