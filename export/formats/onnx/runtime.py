"""ONNX files, asked through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from export.values import Values

if TYPE_CHECKING:
    from export.endpoints import Endpoint


class OnnxRuntime:
    """ONNX files, run by ONNX Runtime.

    Args:
        folder: Where the files of the endpoints are.
        endpoints: The endpoints of the bundle.
    """

    def __init__(self, folder: Path, endpoints: tuple[Endpoint, ...]) -> None:
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
