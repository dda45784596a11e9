"""A TFLite file, asked through LiteRT."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from export.formats.tflite.files import VOCABULARIES
from export.values import Values, batches, encoded_ids, without_padding
from zoo.errors import UserError
from zoo.schema import Vocabulary

if TYPE_CHECKING:
    from export.endpoints import Endpoint, TensorInfo

# The shape of every input of a signature. A negative size stands for any size.
Sizes = Mapping[str, Sequence[int]]


class TFLiteRuntime:
    """A TFLite file, run by LiteRT, between lookups in the vocabularies attached to it.

    If the file has fixed sizes, smaller batches and lists are padded to them, and larger batches are asked in turns.

    Args:
        path: The file.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, path: Path, endpoints: tuple[Endpoint, ...]) -> None:
        interpreter = Interpreter(model_path=str(path))
        # An interpreter has one place for the values of a call, so calls of several threads would mix.
        self._one_call = threading.Lock()
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._signatures = {name: interpreter.get_signature_runner(name) for name in self._endpoints}
        self._sizes = {
            endpoint: {name: details["shape_signature"] for name, details in signature.get_input_details().items()}
            for endpoint, signature in self._signatures.items()
        }
        with zipfile.ZipFile(path) as attached:
            described = json.loads(attached.read(VOCABULARIES))
        self._vocabularies = {name: Vocabulary(entry["values"]) for name, entry in described.items()}

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name. Raises a `UserError` if a list is longer than the file's fixed size."""
        described, signature, sizes = self._endpoints[endpoint], self._signatures[endpoint], self._sizes[endpoint]
        feeds = {info.name: self._encode(info, inputs[info.name]) for info in described.inputs}
        first = sizes[described.inputs[0].name][0]
        with self._one_call:
            answer = signature(**feeds) if first < 0 else self._run_fixed(signature, feeds, sizes, first)
        return {info.name: self._decode(info, answer[info.name]) for info in described.outputs}

    def prepared(self, endpoint: str, inputs: Values) -> Callable[[], np.ndarray]:
        """A call of an endpoint with inputs that were looked up already. It gives the indices of the items."""
        signature = self._signatures[endpoint]
        feeds = {info.name: self._encode(info, inputs[info.name]) for info in self._endpoints[endpoint].inputs}
        return lambda: signature(**feeds)["items"]

    def _run_fixed(self, signature: Callable[..., Values], feeds: Values, sizes: Sizes, batch: int) -> Values:
        answers = []
        for part in batches(feeds, batch):
            answer = signature(**{name: _padded_to(name, values, sizes[name]) for name, values in part.items()})
            rows = len(next(iter(part.values())))
            answers.append({name: without_padding(name, values, part)[:rows] for name, values in answer.items()})
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def _encode(self, info: TensorInfo, values: np.ndarray) -> np.ndarray:
        if info.vocabulary is None:
            return np.asarray(values, np.float32)
        return encoded_ids(np.asarray(values), self._vocabularies[info.vocabulary])

    def _decode(self, info: TensorInfo, values: np.ndarray) -> np.ndarray:
        return self._vocabularies[info.vocabulary].lookup(values) if info.vocabulary else values


def _padded_to(name: str, values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Values filled up with padding to a fixed shape."""
    missing = [size - there for size, there in zip(shape, values.shape, strict=True)]
    if min(missing) < 0:
        raise UserError(
            f"{name}: has {values.shape[1]} values a row, and the file takes at most {shape[1]}. "
            "Export without a fixed batch size, or send fewer."
        )
    return np.pad(values, [(0, number) for number in missing])
