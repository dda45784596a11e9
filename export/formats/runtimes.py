"""Runs an endpoint of any artefact, with raw values in and out, the same way for all of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from export.endpoints import UNKNOWN_PREFIX, Endpoint, TensorInfo
from export.formats import saved_model
from export.formats.onnx import writer as onnx
from export.formats.tflite import writer as tflite
from export.verification.queries import Values, batches, encoded_ids
from zoo.errors import UserError
from zoo.schema import Vocabulary


class Runtime(Protocol):
    """What answers the endpoints of a bundle."""

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name, in raw values."""


class SavedModelRuntime:
    """A SavedModel, loaded by TensorFlow.

    Args:
        folder: The folder of the version.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, folder: Path, endpoints: tuple[Endpoint, ...]) -> None:
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(folder))
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name."""
        import tensorflow as tf

        described = self._endpoints[endpoint]
        tensors = {info.name: tf.constant(inputs[info.name], info.dtype) for info in described.inputs}
        answer = self._loaded.signatures[endpoint](**tensors)
        values = {info.name: answer[info.name].numpy() for info in described.outputs}
        return {name: _decoded(value) if value.dtype == object else value for name, value in values.items()}


class OnnxRuntime:
    """ONNX files, run by ONNX Runtime.

    Args:
        folder: Where the files of the endpoints are.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, folder: Path, endpoints: tuple[Endpoint, ...]) -> None:
        import onnxruntime

        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._sessions = {
            name: onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
            for name in self._endpoints
        }

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name."""
        described = self._endpoints[endpoint]
        feeds = {
            info.name: np.asarray(inputs[info.name], object if info.dtype == "string" else info.dtype)
            for info in described.inputs
        }
        names = [info.name for info in described.outputs]
        return dict(zip(names, self._sessions[endpoint].run(names, feeds), strict=True))


class TFLiteRuntime:
    """A TFLite file, run by LiteRT, between lookups in the vocabularies attached to it.

    Where the file has fixed sizes, smaller batches and lists are padded to them, and larger batches asked in turn.

    Args:
        path: The file.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, path: Path, endpoints: tuple[Endpoint, ...]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._signatures = {name: interpreter.get_signature_runner(name) for name in self._endpoints}
        self._sizes = {
            endpoint: {name: details["shape_signature"] for name, details in signature.get_input_details().items()}
            for endpoint, signature in self._signatures.items()
        }
        with zipfile.ZipFile(path) as attached:
            described = json.loads(attached.read(tflite.VOCABULARIES))
        self._vocabularies = {name: Vocabulary(entry["values"]) for name, entry in described.items()}

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name. Raises a `UserError` if a list is longer than the file's fixed size."""
        described, signature, sizes = self._endpoints[endpoint], self._signatures[endpoint], self._sizes[endpoint]
        feeds = {info.name: self._encode(info, inputs[info.name]) for info in described.inputs}
        first = sizes[described.inputs[0].name][0]
        answer = signature(**feeds) if first < 0 else self._run_fixed(signature, feeds, sizes, first)
        return {info.name: self._decode(info, answer[info.name]) for info in described.outputs}

    def _run_fixed(self, signature: Any, feeds: Values, sizes: dict[str, Any], batch: int) -> Values:
        answers = []
        for part in batches(feeds, batch):
            answer = signature(**{name: _padded_to(name, values, sizes[name]) for name, values in part.items()})
            rows = len(next(iter(part.values())))
            answers.append({name: _cut(name, values, part)[:rows] for name, values in answer.items()})
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def _encode(self, info: TensorInfo, values: np.ndarray) -> np.ndarray:
        if info.vocabulary is None:
            return np.asarray(values, np.float32)
        return encoded_ids(np.asarray(values), self._vocabularies[info.vocabulary])

    def _decode(self, info: TensorInfo, values: np.ndarray) -> np.ndarray:
        return self._vocabularies[info.vocabulary].lookup(values) if info.vocabulary else values


def open_runtime(bundle: Path, artefact: str, endpoints: tuple[Endpoint, ...], version: str) -> Runtime:
    """What runs an artefact of a bundle.

    Args:
        bundle: The folder of the bundle.
        artefact: `"saved_model"`, `"onnx"`, `"tflite"`, or a quantized one, e.g. `"tflite-int8"`.
        endpoints: The endpoints of the bundle.
        version: The version of its SavedModel.

    Returns:
        A `Runtime`.
    """
    if artefact == saved_model.NAME:
        return SavedModelRuntime(bundle / saved_model.NAME / version, endpoints)
    if artefact == onnx.NAME:
        return OnnxRuntime(bundle / onnx.NAME, endpoints)
    return TFLiteRuntime(bundle / tflite.NAME / tflite.file_name(quantization_of(artefact)), endpoints)


def ask(runtime: Runtime, endpoint: str, inputs: Values, batch_size: int) -> Values:
    """The outputs of an endpoint for all inputs, asked so many at a time."""
    answers = [runtime.run(endpoint, batch) for batch in batches(inputs, batch_size)]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def quantization_of(artefact: str) -> str | None:
    """How an artefact is quantized, e.g. `"int8"` for `"tflite-int8"`; `None` for a float one."""
    return artefact.partition("-")[2] or None


def _padded_to(name: str, values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Values filled up with padding to a fixed shape."""
    missing = [size - there for size, there in zip(shape, values.shape, strict=True)]
    if min(missing) < 0:
        raise UserError(
            f"{name}: has {values.shape[1]} values a row, and the file takes at most {shape[1]}. "
            "Export without a fixed batch size, or send fewer."
        )
    return np.pad(values, [(0, number) for number in missing])


def _cut(name: str, values: np.ndarray, inputs: Values) -> np.ndarray:
    """An output of fixed size without the columns that padding was put into."""
    source = "items" if name == "scores" and "items" in inputs else name.removeprefix(UNKNOWN_PREFIX)
    return values[:, : inputs[source].shape[1]] if source in inputs and values.ndim > 1 else values


def _decoded(values: np.ndarray) -> np.ndarray:
    flat = [value.decode("utf-8") for value in values.ravel()]
    return np.array(flat, dtype=object).reshape(values.shape)
