"""The SavedModel is what TF Serving reads: a version folder that the C++ runtime loads on its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from export import saved_model
from export.endpoints import EndpointGraphs
from zoo.data import prepare

PYTHON_ONLY = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}

# Loads a SavedModel as TF Serving does, without the Python part of TensorFlow.
LOADER = """
import ctypes, importlib.util, pathlib, sys

folder = pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent
ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
lib = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
new = ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions")
for name in (*new, "TF_LoadSessionFromSavedModel", "TF_GraphOperationByName"):
    getattr(lib, name).restype = ctypes.c_void_p
lib.TF_Message.restype = ctypes.c_char_p
status, graph, options = (ctypes.c_void_p(getattr(lib, name)()) for name in new)
tags = (ctypes.c_char_p * 1)(b"serve")
session = lib.TF_LoadSessionFromSavedModel(options, None, sys.argv[1].encode(), tags, 1, graph, None, status)
if lib.TF_GetCode(status) != 0 or not session:
    sys.exit(lib.TF_Message(status).decode())
for name in sys.argv[2:]:
    if not lib.TF_GraphOperationByName(graph, name.encode()):
        sys.exit(f"no operation {name}")
print("loaded")
"""


def load_in_cpp(folder, *operations) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", LOADER, str(folder), *operations]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def meta_graph(bundle):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((bundle.folder / "saved_model" / "1" / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    return graph


def operations(bundle) -> set[str]:
    """The names of all operations in the graph and in every function of it."""
    graph = meta_graph(bundle).graph_def
    return {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}


def input_operations(bundle) -> list[str]:
    signatures = meta_graph(bundle).signature_def
    names = ("recommend", "score", "serving_default")
    return [info.name.split(":")[0] for name in names for info in signatures[name].inputs.values()]


def test_there_is_one_version_folder_beside_the_config_of_the_server(bundle):
    assert {path.name for path in (bundle.folder / "saved_model").iterdir()} == {"1", "models.config"}
    config = (bundle.folder / "saved_model" / "models.config").read_text()
    assert 'name: "mf"' in config
    assert 'base_path: "/models/mf"' in config
    assert 'model_platform: "tensorflow"' in config


def test_the_config_of_the_server_is_written_as_the_server_reads_it(bundle):
    text = (bundle.folder / "saved_model" / "models.config").read_text()
    assert text.split() == [
        *("model_config_list", "{", "config", "{"),
        *("name:", '"mf"', "base_path:", '"/models/mf"', "model_platform:", '"tensorflow"'),
        *("}", "}"),
    ]


def test_the_signatures_are_the_endpoints_and_the_default(bundle):
    signatures = meta_graph(bundle).signature_def
    public = {name for name in signatures if not name.startswith("__")}
    assert public == {"recommend", "score", "serving_default"}
    assert {signatures[name].method_name for name in public} == {"tensorflow/serving/predict"}
    assert list(meta_graph(bundle).meta_info_def.tags) == ["serve"]


def test_the_default_signature_is_recommend(bundle):
    loaded = tf.saved_model.load(str(bundle.folder / "saved_model" / "1"))
    inputs = {
        "user": tf.constant(["a,b", "😀", "never seen"]),
        "exclude": tf.constant([["007"], ["7"], [""]]),
        "candidates": tf.constant([[""], ["é"], [""]]),
    }
    default = loaded.signatures["serving_default"](**inputs)
    recommend = loaded.signatures["recommend"](**inputs)
    assert set(default) == set(recommend) == {"items", "scores"}
    for name, values in recommend.items():
        np.testing.assert_array_equal(default[name], values)
    assert default["items"][1, 0].numpy().decode() == "é"


@pytest.mark.parametrize("name", ["bundle", "features_bundle"])
def test_the_cpp_loader_loads_it_with_the_inputs_of_every_signature(request, name):
    bundle = request.getfixturevalue(name)
    done = load_in_cpp(bundle.folder / "saved_model" / "1", *input_operations(bundle))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "loaded"


def test_the_cpp_loader_refuses_what_is_no_saved_model(bundle):
    done = load_in_cpp(bundle.folder / "onnx")
    assert done.returncode == 1
    assert "SavedModel" in done.stderr


@pytest.mark.parametrize("name", ["bundle", "features_bundle"])
def test_no_operation_needs_python(request, name):
    found = operations(request.getfixturevalue(name))
    assert {"LookupTableFindV2", "MatMul", "TopKV2"} <= found
    assert not found & PYTHON_ONLY


def test_the_item_table_is_stored_once(make_run, tmp_path):
    run = make_run("mf", large_catalogue(10_000), embedding_dim=32)
    graphs = EndpointGraphs(run.model, run.dataset)
    saved_model.write(graphs, run.dataset.vocabularies, tmp_path)
    (stored,) = (tmp_path / "1" / "variables").glob("variables.data-*")
    table = sum(4 * np.prod(rows.shape) for rows in graphs.catalogue)
    assert table < stored.stat().st_size < 1.3 * table


def large_catalogue(num_items):
    events = {"user": np.arange(num_items) % 50, "item": np.arange(num_items)}
    return prepare(pd.DataFrame(events), split={"name": "random", "valid": 0, "test": 0})
