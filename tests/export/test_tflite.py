"""The TFLite file runs only on built-in operators and carries all it needs."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import zoo
from export.endpoints import EndpointGraphs
from export.formats.tflite import examples
from export.formats.tflite import writer as tflite
from zoo.data import prepare
from zoo.errors import UserError
from zoo.families import Towers
from zoo.layers import Embedding
from zoo.registry import register


def operators(path) -> dict[int, bytes | None]:
    """The operators of a file: the custom name of each, if it has one, by built-in code."""
    model = schema.Model.GetRootAs(path.read_bytes())
    codes = (model.OperatorCodes(i) for i in range(model.OperatorCodesLength()))
    return {max(code.BuiltinCode(), code.DeprecatedBuiltinCode()): code.CustomCode() for code in codes}


def assert_built_in(path):
    used = operators(path)
    assert schema.BuiltinOperator.TOPK_V2 in used
    assert schema.BuiltinOperator.CUSTOM not in used
    assert not any(used.values())


def graphs_of(run, k=None):
    return EndpointGraphs(run.model, run.dataset.vocabularies, k)


@pytest.fixture(scope="module")
def fixed(run, tmp_path_factory):
    """The graphs of a run, and the folder of a file of one query and lists of 7."""
    folder = tmp_path_factory.mktemp("fixed")
    graphs = graphs_of(run)
    tflite.write(graphs, run.dataset.vocabularies, folder / "tflite", batch=1, list_length=7)
    return graphs, folder


@pytest.fixture
def make_unusual_run(forgetful_registry, make_run, datasets):
    """A run of an architecture with any operation of TensorFlow between a `[batch, 1, 1]` number and the score."""

    def make(operation):
        class Unusual(keras.layers.Layer):
            def call(self, numbers):
                return operation(numbers[:, :, None])[:, :, 0]

        @register("unusual", objective="pointwise", query=("user",), tiny={})
        def unusual(schema):
            numbers = Embedding(schema.size("user"), 1)(schema.input("user"))
            return Towers(query=Unusual()(numbers + 2.0), item=Embedding(schema.size("item"), 1)(schema.input("item")))

        return make_run("unusual", datasets["ids"])

    return make


# An export of the contract suite fails where an operator is not built in; this looks into the file too.
@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.list_models())
def test_all_operators_of_every_architecture_are_built_in(make_run, datasets, tmp_path, name):
    run = make_run(name, datasets["text"])
    graphs = graphs_of(run)
    tflite.write(graphs, run.dataset.vocabularies, tmp_path)
    assert_built_in(tmp_path / tflite.FILE)
    signatures = Interpreter(str(tmp_path / tflite.FILE)).get_signature_list()
    assert {name: set(parts["inputs"]) for name, parts in signatures.items()} == {
        endpoint.name: {info.name for info in endpoint.inputs} for endpoint in graphs.endpoints
    }
    assert {name: set(parts["outputs"]) for name, parts in signatures.items()} == {
        endpoint.name: {info.name for info in endpoint.outputs} for endpoint in graphs.endpoints
    }


def test_an_operator_that_is_not_built_in_is_named(make_unusual_run, tmp_path):
    run = make_unusual_run(tf.linalg.inv)
    with pytest.raises(
        UserError, match=r"^unusual: TFLite has no operator of its own for MatrixInverse\. Give --allow"
    ):
        tflite.write(graphs_of(run), run.dataset.vocabularies, tmp_path)
    assert not list(tmp_path.glob("*.tflite"))


def test_an_operator_that_is_not_built_in_may_be_allowed(make_unusual_run, tmp_path):
    run = make_unusual_run(tf.linalg.inv)
    tflite.write(graphs_of(run), run.dataset.vocabularies, tmp_path, allow_flex=True)
    assert operators(tmp_path / tflite.FILE)[schema.BuiltinOperator.CUSTOM] == b"FlexMatrixInverse"


def test_an_operator_that_flex_lacks_too_cannot_be_allowed(make_unusual_run, tmp_path):
    run = make_unusual_run(tf.math.bessel_i0)
    with pytest.raises(UserError, match=r"for BesselI0\. The Flex delegate has none either\. Leave tflite out"):
        tflite.write(graphs_of(run), run.dataset.vocabularies, tmp_path, allow_flex=True)


def test_the_vocabularies_are_readable_by_any_zip_reader(make_run, datasets, tmp_path):
    run = make_run("two_tower", datasets["text"])
    known = run.dataset.vocabularies
    tflite.write(graphs_of(run), known, tmp_path)
    assert zipfile.is_zipfile(tmp_path / tflite.FILE)
    with zipfile.ZipFile(tmp_path / tflite.FILE) as attached:
        assert attached.testzip() is None
        assert attached.namelist() == ["vocabularies.json"]
        described = json.loads(attached.read("vocabularies.json"))
    assert described == {
        name: {"first_index": 2, "padding": vocabulary.padding_value, "values": vocabulary.to_json()}
        for name, vocabulary in known.items()
    }


def test_awkward_ids_survive_the_attached_vocabulary(fixed, run):
    with zipfile.ZipFile(fixed[1] / "tflite" / tflite.FILE) as attached:
        described = json.loads(attached.read(tflite.VOCABULARIES))
    assert described["item"]["values"] == run.dataset.vocabularies["item"].to_json()
    assert {"a,b", 'say "hi"', "😀", "007", "7"} <= set(described["item"]["values"])


@pytest.mark.parametrize("variant", [None, "float16", "dynamic", "int8"])
def test_indices_go_in_and_come_out(run, tmp_path, variant):
    graphs = graphs_of(run)
    query = {"user": np.arange(2, 12, dtype=np.int32)}
    score = {**query, "items": np.full((10, 3), 4, np.int32)}
    tflite.write(
        graphs, run.dataset.vocabularies, tmp_path, quantize=(variant,) if variant else (), sample={"score": score}
    )
    recommend = Interpreter(str(tmp_path / tflite.file_name(variant))).get_signature_runner("recommend")
    users = np.array([2, 1, 7], np.int32)
    exclude = np.array([[3, 4], [0, 0], [1, 21]], np.int32)
    answer = recommend(user=users, exclude=exclude, candidates=np.zeros((3, 1), np.int32))
    items, scores = run.model.recommend({"user": users}, 20, exclude=exclude)
    np.testing.assert_array_equal(answer["items"], items)
    np.testing.assert_allclose(answer["scores"], scores, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(answer["unknown_user"], [0, 1, 0])
    np.testing.assert_array_equal(answer["unknown_exclude"], [[0, 0], [0, 0], [1, 0]])


def test_a_table_that_all_signatures_read_is_stored_once(make_run, tmp_path):
    frame = pd.DataFrame({"user": np.arange(20_000) % 50, "item": np.arange(20_000)})
    dataset = prepare(frame, split={"name": "random", "valid": 0, "test": 0})
    run = make_run("mf", dataset, embedding_dim=64)
    graphs = graphs_of(run)
    tflite.write(graphs, dataset.vocabularies, tmp_path)
    table = sum(4 * np.prod(rows.shape) for rows in graphs.catalogue)
    assert table < (tmp_path / tflite.FILE).stat().st_size < 1.1 * table


def test_all_shapes_are_known_with_a_fixed_batch(fixed):
    interpreter = Interpreter(str(fixed[1] / "tflite" / tflite.FILE))
    shapes = {}
    for endpoint in fixed[0].endpoints:
        runner = interpreter.get_signature_runner(endpoint.name)
        for details in (runner.get_input_details(), runner.get_output_details()):
            for name, detail in details.items():
                shapes[endpoint.name, name] = tuple(detail["shape_signature"])
    assert shapes["recommend", "exclude"] == shapes["score", "scores"] == (1, 7)
    assert shapes["embed_items", "items"] == (1,)
    assert min(size for shape in shapes.values() for size in shape) > 0


def test_answers_are_the_same_with_a_fixed_batch(fixed, run):
    recommend = Interpreter(str(fixed[1] / "tflite" / tflite.FILE)).get_signature_runner("recommend")
    exclude = np.array([[3, 4, 5, 0, 0, 0, 0]], np.int32)
    for user in range(1, 8):
        users = np.array([user], np.int32)
        answer = recommend(user=users, exclude=exclude, candidates=np.zeros((1, 7), np.int32))
        items, scores = run.model.recommend({"user": users}, fixed[0].k, exclude=exclude)
        np.testing.assert_array_equal(answer["items"], items)
        np.testing.assert_allclose(answer["scores"], scores, rtol=0, atol=1e-5)


def test_a_sample_of_any_list_length_fits_a_fixed_one(make_run, datasets, tmp_path):
    run = make_run("ncf", datasets["ids"], embedding_dim=32, hidden=(64, 32))
    query = {"user": np.arange(2, 7, dtype=np.int32)}
    for length in (2, 9):
        sample = {"score": {**query, "items": np.full((5, length), 3, np.int32)}}
        folder = tmp_path / str(length)
        options = {"quantize": ("int8",), "batch": 3, "list_length": 4, "sample": sample}
        tflite.write(graphs_of(run), run.dataset.vocabularies, folder, **options)
        score = Interpreter(str(folder / "model-int8.tflite")).get_signature_runner("score")
        assert score(user=np.full(3, 2, np.int32), items=np.full((3, 4), 3, np.int32))["scores"].shape == (3, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": ("float15",)}, "Unknown quantization 'float15'. Did you mean 'float16'"),
        ({"quantize": ("int8",)}, "int8 measures the ranges of layers on a sample"),
        ({"batch": 0}, "batch and list_length must be at least 1. Received: 0 and 500"),
        ({"batch": 1, "list_length": 0}, "batch and list_length must be at least 1. Received: 1 and 0"),
    ],
)
def test_a_faulty_order_is_refused_before_anything_is_written(run, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        tflite.write(graphs_of(run), run.dataset.vocabularies, tmp_path / "tflite", **options)
    assert not (tmp_path / "tflite").exists()


def recommend_of(graphs):
    return graphs.endpoints[0]


def run_example(folder, recommend, query, monkeypatch, *fixed):
    """What the Python example prints."""
    monkeypatch.chdir(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(examples.python_example(recommend, query, *fixed), {})
    return dict(eval(printed.getvalue()))


def test_the_python_example_gives_raw_ids_as_the_model_does(run, tmp_path, monkeypatch):
    graphs = graphs_of(run)
    tflite.write(graphs, run.dataset.vocabularies, tmp_path / "tflite")
    query = {"user": 'say "hi"', "exclude": ["😀", "not known", "007"]}
    printed = run_example(tmp_path, recommend_of(graphs), query, monkeypatch)
    known = run.dataset.vocabularies
    exclude = known["item"].index(query["exclude"])[None]
    items, scores = run.model.recommend({"user": known["user"].index([query["user"]])}, graphs.k, exclude)
    left = items[0] > 0
    assert list(printed) == known["item"].lookup(items[0][left]).tolist()
    np.testing.assert_allclose(list(printed.values()), scores[0][left], atol=1e-5)


def test_the_python_example_fits_integer_ids_numbers_and_short_histories(make_run, datasets, tmp_path, monkeypatch):
    run = make_run("elcorec", datasets["text"])
    graphs = graphs_of(run)
    tflite.write(graphs, run.dataset.vocabularies, tmp_path / "tflite")
    query = {"user": "u03", "history": [101, 105], "history_rating": [5.0, 2.0], "age": [33.0], "group": ["odd"]}
    printed = run_example(tmp_path, recommend_of(graphs), query, monkeypatch)
    assert len(printed) == graphs.k
    assert set(printed) <= set(run.dataset.vocabularies["item"].to_json())
    # The history stands at the end of its input, where the most recent item is.
    padded = {**query, "history": [-1] * 6 + [101, 105], "history_rating": [0.0] * 6 + [5.0, 2.0]}
    assert run_example(tmp_path, recommend_of(graphs), padded, monkeypatch) == printed


def test_the_python_example_fits_a_fixed_batch(fixed, run, monkeypatch):
    query = {"user": "007", "exclude": ["7"]}
    printed = run_example(fixed[1], recommend_of(fixed[0]), query, monkeypatch, (1, 7))
    assert "7" not in printed
    assert len(printed) == fixed[0].k - 1 if fixed[0].k == len(run.dataset.vocabularies["item"]) else fixed[0].k


def test_the_python_example_needs_no_query(run, tmp_path, monkeypatch):
    graphs = graphs_of(run)
    tflite.write(graphs, run.dataset.vocabularies, tmp_path / "tflite")
    assert len(run_example(tmp_path, recommend_of(graphs), None, monkeypatch)) == graphs.k


def test_the_kotlin_example_escapes_what_kotlin_reads_as_code(run):
    example = examples.kotlin_example(recommend_of(graphs_of(run)), {"user": 'a"$b\n', "exclude": ["😀"]})
    assert r'"user" to indices("user", listOf("a\"\$b\n"), 1)' in example
    assert r'"exclude" to Array(1) { indices("item", listOf("\ud83d\ude00"), 1) }' in example


def test_the_swift_example_escapes_what_swift_reads_as_code(run):
    example = examples.swift_example(recommend_of(graphs_of(run)), {"user": 'a"\\(b)\n', "exclude": ["😀"]})
    assert r'indices("user", ["a\"\\(b)\u{a}"], 1, 1), toInputNamed: "user"' in example
    assert 'indices("item", ["😀"], 1, 1), toInputNamed: "exclude"' in example


@pytest.mark.parametrize("example", [examples.kotlin_example, examples.swift_example])
def test_examples_fit_integer_ids_and_fixed_lists(make_run, datasets, example):
    graphs = graphs_of(make_run("lstm", datasets["ids"]))
    query = {"history": np.array([-1, 101, 105]), "exclude": [101]}
    written = example(recommend_of(graphs), query, (2, 7))
    assert "front" in written
    for expected in (
        ("101L, 105L", "101L)") if example is examples.kotlin_example else ("[101, 105], 2, 8", "[101], 2, 7")
    ):
        assert expected in written


@pytest.mark.parametrize("example", [examples.python_example, examples.kotlin_example, examples.swift_example])
def test_examples_name_every_input(make_run, datasets, example):
    graphs = graphs_of(make_run("two_tower", datasets["text"]))
    written = example(recommend_of(graphs))
    assert all(info.name in written for info in graphs.endpoints[0].inputs)
    for opening, closing in ("()", "[]", "{}"):
        assert written.count(opening) == written.count(closing)
