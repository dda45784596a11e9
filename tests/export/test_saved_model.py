"""The SavedModel is what TF Serving reads: a version folder that the C++ runtime loads on its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from export.endpoints import Endpoint, EndpointGraphs
from export.formats.saved_model import writer as saved_model
from zoo.data import prepare
from zoo.schema import Vocabulary

PYTHON_ONLY = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}

# Loads a SavedModel and runs calls of it as TF Serving does: by the C++ loader and session, without the Python
# part of TensorFlow. Reads calls as JSON, `{"inputs": [[tensor, dtype, shape, values]], "outputs": [tensor]}`,
# and prints for each `{"outputs": [[dtype, shape, values]]}` or `{"error": message}`.
RUNNER = """
import ctypes, importlib.util, json, pathlib, sys

P, N = ctypes.c_void_p, ctypes.c_size_t
NUMBERS = {"float32": (1, ctypes.c_float), "int32": (3, ctypes.c_int32), "int64": (9, ctypes.c_int64)}
STRING, STRING_BYTES = 7, 24

folder = pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent
ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
lib = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))

class Output(ctypes.Structure):
    _fields_ = [("operation", P), ("index", ctypes.c_int)]

def declare(name, result, *arguments):
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments

for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions"):
    declare(name, P)
declare("TF_GetCode", ctypes.c_int, P)
declare("TF_Message", ctypes.c_char_p, P)
declare("TF_GraphOperationByName", P, P, ctypes.c_char_p)
declare("TF_LoadSessionFromSavedModel", P, P, P, ctypes.c_char_p, P, ctypes.c_int, P, P, P)
declare("TF_AllocateTensor", P, ctypes.c_int, P, ctypes.c_int, N)
declare("TF_TensorData", P, P)
declare("TF_TensorType", ctypes.c_int, P)
declare("TF_NumDims", ctypes.c_int, P)
declare("TF_Dim", ctypes.c_int64, P, ctypes.c_int)
declare("TF_TensorElementCount", ctypes.c_int64, P)
declare("TF_StringInit", None, P)
declare("TF_StringCopy", None, P, ctypes.c_char_p, N)
declare("TF_StringGetDataPointer", P, P)
declare("TF_StringGetSize", N, P)
argument = (P, P, ctypes.c_int)
declare("TF_SessionRun", None, P, P, *argument, *argument, P, ctypes.c_int, P, P)

def tensor(dtype, shape, values):
    code, size = (STRING, STRING_BYTES) if dtype == "string" else (NUMBERS[dtype][0], ctypes.sizeof(NUMBERS[dtype][1]))
    made = lib.TF_AllocateTensor(code, (ctypes.c_int64 * len(shape))(*shape), len(shape), size * len(values))
    data = lib.TF_TensorData(made)
    if dtype == "string":
        for place, value in enumerate(values):
            encoded = value.encode()
            lib.TF_StringInit(data + STRING_BYTES * place)
            lib.TF_StringCopy(data + STRING_BYTES * place, encoded, len(encoded))
    else:
        ctypes.memmove(data, (NUMBERS[dtype][1] * len(values))(*values), size * len(values))
    return made

def content(made):
    shape = [lib.TF_Dim(made, axis) for axis in range(lib.TF_NumDims(made))]
    count, data, code = lib.TF_TensorElementCount(made), lib.TF_TensorData(made), lib.TF_TensorType(made)
    if code == STRING:
        places = [data + STRING_BYTES * place for place in range(count)]
        read = [ctypes.string_at(lib.TF_StringGetDataPointer(s), lib.TF_StringGetSize(s)).decode() for s in places]
        return "string", shape, read
    ((dtype, kind),) = [(name, kind) for name, (known, kind) in NUMBERS.items() if known == code]
    return dtype, shape, list((kind * count).from_address(data)) if count else []

def output(name):
    operation, index = name.split(":")
    found = lib.TF_GraphOperationByName(graph, operation.encode())
    if not found:
        sys.exit(f"no operation {operation}")
    return Output(found, int(index))

def run(call):
    inputs, outputs = call["inputs"], call["outputs"]
    feeds = (Output * len(inputs))(*(output(name) for name, *_ in inputs))
    values = (P * len(inputs))(*(tensor(*described) for _, *described in inputs))
    fetches, answers = (Output * len(outputs))(*map(output, outputs)), (P * len(outputs))()
    lib.TF_SessionRun(
        session, None, feeds, values, len(inputs), fetches, answers, len(outputs), None, 0, None, status
    )
    if lib.TF_GetCode(status) != 0:
        return {"error": lib.TF_Message(status).decode()}
    return {"outputs": [content(answer) for answer in answers]}

status, graph, options = lib.TF_NewStatus(), lib.TF_NewGraph(), lib.TF_NewSessionOptions()
tags = (ctypes.c_char_p * 1)(b"serve")
session = lib.TF_LoadSessionFromSavedModel(options, None, sys.argv[1].encode(), tags, 1, graph, None, status)
if lib.TF_GetCode(status) != 0 or not session:
    sys.exit(lib.TF_Message(status).decode())
assert "tensorflow" not in sys.modules
print(json.dumps([run(call) for call in json.load(sys.stdin)]))
"""
DTYPES = {"string": object, "int64": np.int64, "int32": np.int32, "float32": np.float32}


def load_in_cpp(folder, calls=()) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", RUNNER, str(folder)]
    return subprocess.run(command, input=json.dumps(list(calls)), capture_output=True, text=True, timeout=300)


def run_in_cpp(folder, calls) -> list:
    """What the C++ runtime answers calls `(signature, {input: array})`: outputs by name, or an error message."""
    signatures = meta_graph(folder).signature_def
    made = []
    for name, feed in calls:
        signature = signatures[name]
        inputs = [
            (signature.inputs[key].name, "string" if array.dtype == object else str(array.dtype), array.shape,
             array.ravel().tolist())
            for key, array in feed.items()
        ]  # fmt: skip
        made.append({"inputs": inputs, "outputs": [info.name for info in signature.outputs.values()]})
    done = load_in_cpp(folder, made)
    assert done.returncode == 0, done.stderr
    answers = []
    for (name, _), answer in zip(calls, json.loads(done.stdout), strict=True):
        outputs = answer.get("outputs", [])
        named = zip(signatures[name].outputs, outputs, strict=bool(outputs))
        arrays = {key: np.array(v, DTYPES[dtype]).reshape(shape) for key, (dtype, shape, v) in named}
        answers.append(answer.get("error", arrays))
    return answers


def run_in_python(folder, calls) -> list:
    """The same calls by `tf.saved_model.load`."""
    loaded = tf.saved_model.load(str(folder))
    answers = []
    for name, feed in calls:
        tensors = {
            key: tf.constant(array, tf.string if array.dtype == object else array.dtype) for key, array in feed.items()
        }
        answer = {key: value.numpy() for key, value in loaded.signatures[name](**tensors).items()}
        answers.append({key: decoded(value) for key, value in answer.items()})
    return answers


def decoded(values):
    if values.dtype != object:
        return values
    return np.array([value.decode() for value in values.ravel()], object).reshape(values.shape)


def meta_graph(folder):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    return graph


def nodes(folder):
    """All nodes of the graph and of every function of it."""
    graph = meta_graph(folder).graph_def
    return [node for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes]


def draw(info, vocabularies, size, rng) -> np.ndarray:
    """Raw values for an input: known, unknown and padding, or numbers; lists have up to three values."""
    shape = (size, *(rng.integers(1, 4) if length is None else length for length in info.shape[1:]))
    if info.vocabulary is None:
        return rng.normal(size=shape).astype(np.float32)
    unknown = 10**15 if info.dtype == "int64" else "never seen"
    pool = [*vocabularies[info.vocabulary].values.tolist(), unknown, info.padding, info.padding]
    return np.array(pool, DTYPES[info.dtype])[rng.integers(0, len(pool), shape)]


def make_calls(endpoints, vocabularies, size) -> list:
    """A call of every signature."""
    rng = np.random.default_rng(size)
    calls = [(e.name, {info.name: draw(info, vocabularies, size, rng) for info in e.inputs}) for e in endpoints]
    return [*calls, ("serving_default", dict(calls)["recommend"])]


class Exported(NamedTuple):
    """A SavedModel of a run: the folder of its version, what it answers, and what raw values are looked up in."""

    folder: Path
    endpoints: tuple[Endpoint, ...]
    vocabularies: dict[str, Vocabulary]


def write_saved_model(run, folder, version="1") -> Exported:
    vocabularies = run.dataset.vocabularies
    graphs = EndpointGraphs(run.model, vocabularies)
    saved_model.write(graphs, vocabularies, folder, version)
    return Exported(folder / version, graphs.endpoints, vocabularies)


@pytest.fixture(scope="module", params=["run", "features_run"])
def exported(request, tmp_path_factory):
    """A SavedModel over string ids, and one that reads everything."""
    return write_saved_model(request.getfixturevalue(request.param), tmp_path_factory.mktemp("saved_model"))


def test_the_folder_of_a_version_has_its_name(run, tmp_path):
    write_saved_model(run, tmp_path, "7")
    assert [path.name for path in tmp_path.iterdir()] == ["7"]
    assert {"saved_model.pb", "variables"} <= {path.name for path in (tmp_path / "7").iterdir()}


def test_the_signatures_are_the_endpoints_and_the_default(exported):
    folder, endpoints, _ = exported
    signatures = meta_graph(folder).signature_def
    public = {name for name in signatures if not name.startswith("__")}
    assert public == {"serving_default", *(endpoint.name for endpoint in endpoints)}
    assert {signatures[name].method_name for name in public} == {"tensorflow/serving/predict"}
    assert list(meta_graph(folder).meta_info_def.tags) == ["serve"]
    for endpoint in endpoints:
        assert set(signatures[endpoint.name].inputs) == {info.name for info in endpoint.inputs}
        assert set(signatures[endpoint.name].outputs) == {info.name for info in endpoint.outputs}


@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_cpp_runtime_answers_every_signature_as_the_python_one_does(exported, size):
    folder, endpoints, vocabularies = exported
    calls = make_calls(endpoints, vocabularies, size)
    for (name, feed), found, expected in zip(
        calls, run_in_cpp(folder, calls), run_in_python(folder, calls), strict=True
    ):
        assert set(found) == set(expected)
        for key, values in expected.items():
            assert found[key].dtype == values.dtype, (name, key)
            assert len(values) == len(next(iter(feed.values())))
            if values.dtype == np.float32:
                np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(found[key], values)


def test_the_default_signature_is_recommend(exported):
    folder, endpoints, vocabularies = exported
    calls = make_calls(endpoints, vocabularies, 5)
    answers = dict(zip(dict(calls), run_in_cpp(folder, calls), strict=True))
    for key, values in answers["recommend"].items():
        np.testing.assert_array_equal(answers["serving_default"][key], values)


def test_lists_of_no_values_are_legal(exported):
    folder, endpoints, vocabularies = exported
    (recommend, *_) = make_calls(endpoints, vocabularies, 2)
    empty = {key: recommend[1][key][:, :0] for key in ("exclude", "candidates")}
    padded = {info.name: np.full((2, 3), info.padding, DTYPES[info.dtype]) for info in endpoints[0].inputs[-2:]}
    first, second = run_in_cpp(folder, [("recommend", {**recommend[1], **lists}) for lists in (empty, padded)])
    np.testing.assert_array_equal(first["items"], second["items"])


def test_a_missing_input_is_an_error_of_the_runtime_that_names_its_tensor(exported):
    folder, endpoints, vocabularies = exported
    name, feed = make_calls(endpoints, vocabularies, 1)[0]
    del feed["exclude"]
    (message,) = run_in_cpp(folder, [(name, feed)])
    assert "You must feed a value for placeholder tensor 'recommend_exclude' with dtype" in message


def test_a_wrong_dtype_is_an_error_of_the_runtime_that_names_both(exported):
    folder, endpoints, vocabularies = exported
    name, feed = make_calls(endpoints, vocabularies, 1)[0]
    (info,) = [info for info in endpoints[0].inputs if info.name == "exclude"]
    feed["exclude"] = np.full((1, 1), 0.5, np.float32)
    (message,) = run_in_cpp(folder, [(name, feed)])
    assert re.search(rf"Expects arg\[\d+\] to be {info.dtype} but float is provided", message)


def test_a_wrong_shape_is_an_error_of_the_runtime_that_says_the_right_one(exported):
    """Without this a history of one event would be taken for as many equal ones as a history has."""
    folder, endpoints, vocabularies = exported
    name, feed = make_calls(endpoints, vocabularies, 2)[0]
    wrong = [(info, feed[info.name][..., None]) for info in endpoints[0].inputs]
    wrong += [(info, feed[info.name][..., :1]) for info in endpoints[0].inputs if info.shape[-1] is not None]
    calls = [(name, {**feed, info.name: values}) for info, values in wrong]
    for (info, _), message in zip(wrong, run_in_cpp(folder, calls), strict=True):
        wanted = re.escape(f"[{','.join('?' if size is None else str(size) for size in info.shape)}]")
        assert re.search(rf"Shape of tensor \S+ \[.*\] is not compatible with expected shape {wanted}", message)


def test_other_numbers_of_rows_are_an_error_of_the_runtime(exported):
    folder, endpoints, vocabularies = exported
    name, feed = make_calls(endpoints, vocabularies, 2)[0]
    names = ", ".join(feed)
    calls = [(name, {**feed, key: values[:1]}) for key, values in feed.items()]
    for message in run_in_cpp(folder, calls):
        assert f"Inputs differ in their number of rows ({names}):" in message


def test_the_cpp_loader_refuses_what_is_no_saved_model(tmp_path):
    done = load_in_cpp(tmp_path)
    assert done.returncode == 1
    assert "SavedModel" in done.stderr


def test_no_operation_needs_python_and_all_are_registered_in_the_runtime(exported):
    found = {node.op for node in nodes(exported.folder)}
    assert {"LookupTableFindV2", "MatMul"} <= found
    assert not found & PYTHON_ONLY
    unregistered = {op for op in found if op_def_registry.get(op) is None}
    functions = {function.signature.name for function in meta_graph(exported.folder).graph_def.library.function}
    assert unregistered <= functions


def test_nothing_is_kept_from_one_call_to_the_next(exported):
    folder, endpoints, vocabularies = exported
    calls = make_calls(endpoints, vocabularies, 2)
    first, *_, last = run_in_cpp(folder, [calls[0], *calls, calls[0]])
    for key, values in first.items():
        np.testing.assert_array_equal(last[key], values)


def test_the_item_table_is_stored_once(make_run, tmp_path):
    run = make_run("mf", large_catalogue(10_000), embedding_dim=32)
    graphs = EndpointGraphs(run.model, run.dataset.vocabularies)
    saved_model.write(graphs, run.dataset.vocabularies, tmp_path)
    (stored,) = (tmp_path / "1" / "variables").glob("variables.data-*")
    table = sum(4 * np.prod(rows.shape) for rows in graphs.catalogue)
    assert table < stored.stat().st_size < 1.3 * table


def large_catalogue(num_items):
    events = {"user": np.arange(num_items) % 50, "item": np.arange(num_items)}
    return prepare(pd.DataFrame(events), split={"name": "random", "valid": 0, "test": 0})
