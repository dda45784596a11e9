"""Runs an endpoint of any artefact, with raw values in and out, the same way for all of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export import onnx, saved_model, tflite
from export.endpoints import Endpoint
from zoo.schema import Vocabulary

Values = dict[str, np.ndarray]


class SavedModelRuntime:
    """A SavedModel, loaded by TensorFlow.

    Args:
        folder: The folder of versions.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, folder: Path, endpoints: tuple[Endpoint, ...]) -> None:
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(folder / saved_model.VERSION))
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

    Args:
        folder: Where the file is.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, folder: Path, endpoints: tuple[Endpoint, ...]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        path = folder / tflite.FILE
        interpreter = Interpreter(model_path=str(path))
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._signatures = {name: interpreter.get_signature_runner(name) for name in self._endpoints}
        with zipfile.ZipFile(path) as attached:
            described = json.loads(attached.read(tflite.VOCABULARIES))
        self._vocabularies = {name: Vocabulary(entry["values"]) for name, entry in described.items()}

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name."""
        described = self._endpoints[endpoint]
        feeds = {}
        for info in described.inputs:
            value = np.asarray(inputs[info.name])
            if info.vocabulary is None:
                feeds[info.name] = value.astype(np.float32)
            else:
                feeds[info.name] = self._vocabularies[info.vocabulary].index(value.ravel()).reshape(value.shape)
        answer = self._signatures[endpoint](**feeds)
        return {
            info.name: self._vocabularies[info.vocabulary].lookup(answer[info.name])
            if info.vocabulary
            else answer[info.name]
            for info in described.outputs
        }


RUNTIMES: dict[str, Callable[[Path, tuple[Endpoint, ...]], Any]] = {
    saved_model.NAME: SavedModelRuntime,
    onnx.NAME: OnnxRuntime,
    tflite.NAME: TFLiteRuntime,
}


def _decoded(values: np.ndarray) -> np.ndarray:
    flat = [value.decode("utf-8") for value in values.ravel()]
    return np.array(flat, dtype=object).reshape(values.shape)
