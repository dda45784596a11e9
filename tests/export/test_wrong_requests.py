"""Runtimes answer wrong requests as the model card tells."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from onnxruntime import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

# Wrong requests, which the runtimes answer themselves as the model card tells


@pytest.fixture(scope="module")
def request_of_one(bundle) -> dict:
    """A request to `recommend` that is as it should be: of the bundle with string ids."""
    return {
        "user": np.array(["007"], object),
        "exclude": np.array([[""]], object),
        "candidates": np.array([[""]], object),
    }


def without(request: dict, name: str) -> dict:
    return {key: value for key, value in request.items() if key != name}


INPUTS = ("user", "exclude", "candidates")


def told_in_the_card(bundle, runtime: str) -> str:
    (row,) = re.findall(rf"^\| {runtime} \|.*$", (bundle.folder / "README.md").read_text(), re.MULTILINE)
    return row


@pytest.mark.parametrize("name", INPUTS)
def test_a_saved_model_names_a_missing_input_and_tells_a_wrong_dtype(name, bundle, request_of_one):
    signature = tf.saved_model.load(str(bundle.folder / "saved_model" / "1")).signatures["recommend"]
    tensors = {key: tf.constant(value, tf.string) for key, value in request_of_one.items()}
    assert signature(**tensors)
    with pytest.raises(TypeError, match=f"missing a required argument: '{name}'"):
        signature(**without(tensors, name))
    place = sorted(INPUTS).index(name)
    wrong = tf.zeros_like(tensors[name], tf.int64)
    message = rf"input #{place}\(zero-based\) was expected to be a string tensor but is a int64 tensor"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signature(**{**tensors, name: wrong})
    row = told_in_the_card(bundle, "SavedModel in Python")
    assert "`TypeError` that names the input" in row
    assert "`InvalidArgumentError` with both dtypes and the place" in row


@pytest.mark.parametrize("name", INPUTS)
def test_onnx_runtime_names_a_missing_input_and_tells_a_wrong_dtype(name, bundle, request_of_one):
    session = InferenceSession(bundle.folder / "onnx" / "recommend.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, request_of_one)
    with pytest.raises(ValueError, match=rf"Required inputs \(\['{name}'\]\) are missing"):
        session.run(None, without(request_of_one, name))
    wrong = np.zeros(request_of_one[name].shape, np.int64)
    with pytest.raises(InvalidArgument, match=r"Actual: \(tensor\(int64\)\) , expected: \(tensor\(string\)\)"):
        session.run(None, {**request_of_one, name: wrong})
    row = told_in_the_card(bundle, "ONNX Runtime")
    assert "`ValueError` that names the input" in row
    assert "`InvalidArgument` with both dtypes" in row


@pytest.mark.parametrize("name", INPUTS)
def test_litert_tells_that_an_input_is_missing_and_names_one_of_wrong_dtype(name, bundle, request_of_one):
    signature = Interpreter(str(bundle.folder / "tflite" / "model.tflite")).get_signature_runner("recommend")
    indices = {key: np.zeros(value.shape, np.int32) for key, value in request_of_one.items()}
    assert signature(**indices)
    with pytest.raises(ValueError, match="expected 3 vs provided 2"):
        signature(**without(indices, name))
    message = f"Got value of type INT64 but expected type INT32 for input .*, name: recommend_{name}:0"
    with pytest.raises(ValueError, match=message):
        signature(**{**indices, name: indices[name].astype(np.int64)})
    row = told_in_the_card(bundle, "LiteRT")
    assert "`ValueError` with the number of inputs expected and given" in row
    assert "that names the input as `recommend_<name>:0`" in row
