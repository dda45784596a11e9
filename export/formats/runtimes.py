"""Artefacts opened, with one answer in every format to calls without rows and lists without values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.formats.base import Runtime, find_artefact
from export.values import Values, without_padding
from zoo.files import parsing

if TYPE_CHECKING:
    from export.endpoints import Endpoint, TensorInfo


def open_runtime(bundle: Path, artefact: str, endpoints: tuple[Endpoint, ...], version: str) -> Runtime:
    """The runtime of an artefact of a bundle.

    Args:
        bundle: The folder of the bundle.
        artefact: The name of the artefact, e.g. `"onnx"` or `"tflite-int8"`.
        endpoints: The endpoints of the bundle.
        version: The version of the bundle.

    Returns:
        What answers the endpoints, raw values in and out.

    Raises:
        UserError: If no registered format writes such an artefact.
    """
    made, found = find_artefact(artefact)
    place = found.place(bundle, version)
    with parsing(place, f"an artefact of the format {made.name}"):
        return ForEmptyCalls(made.open(place, endpoints), endpoints)


class ForEmptyCalls:
    """A runtime whose artefact is never asked something empty, which some runtimes fail at and one is damaged by.

    A call without rows, or with a list without values, is asked with one row, or one value, of padding. The answer is
    cut to what was asked. So all formats answer it as TensorFlow does.

    Args:
        runtime: What answers for the artefact.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, runtime: Runtime, endpoints: tuple[Endpoint, ...]) -> None:
        self.runtime = runtime
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}

    def __getattr__(self, name: str) -> Any:
        # What only some runtimes can do.
        return getattr(self.runtime, name)

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name."""
        described = self._endpoints[endpoint]
        given = {info.name: np.asarray(inputs[info.name]) for info in described.inputs}
        if all(values.size for values in given.values()):
            return self.runtime.run(endpoint, inputs)
        filled = {info.name: _filled(info, given[info.name]) for info in described.inputs}
        answer = self.runtime.run(endpoint, filled)
        rows = min(len(values) for values in given.values())
        return {info.name: without_padding(info.name, answer[info.name], given)[:rows] for info in described.outputs}


def _filled(info: TensorInfo, values: np.ndarray) -> np.ndarray:
    """Values with at least one row and one value a row."""
    nothing = info.padding if info.vocabulary else 0
    filled = np.full([max(size, 1) for size in values.shape], nothing, values.dtype)
    filled[tuple(slice(size) for size in values.shape)] = values
    return filled
