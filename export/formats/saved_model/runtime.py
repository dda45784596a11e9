"""A SavedModel, asked through TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from export.formats.saved_model.operations import check_operations
from export.values import Values

if TYPE_CHECKING:
    from export.endpoints import Endpoint


class SavedModelRuntime:
    """A SavedModel, loaded by TensorFlow.

    Args:
        folder: The folder of the version.
        endpoints: The endpoints of the bundle.

    Raises:
        UserError: If it has operations that no endpoint needs. None of them is run.
    """

    def __init__(self, folder: Path, endpoints: tuple[Endpoint, ...]) -> None:
        check_operations(folder)
        self._loaded = tf.saved_model.load(str(folder))
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name."""
        described = self._endpoints[endpoint]
        tensors = {info.name: tf.constant(inputs[info.name], info.dtype) for info in described.inputs}
        answer = self._loaded.signatures[endpoint](**tensors)
        values = {info.name: answer[info.name].numpy() for info in described.outputs}
        return {name: _decoded(value) if value.dtype == object else value for name, value in values.items()}


def _decoded(values: np.ndarray) -> np.ndarray:
    flat = [value.decode("utf-8") for value in values.ravel()]
    return np.array(flat, dtype=object).reshape(values.shape)
