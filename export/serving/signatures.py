"""What a client knows about the model it asks: its endpoints as a manifest describes them.

Importing this imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import numpy as np

from zoo.errors import UserError
from zoo.files import read_json

if TYPE_CHECKING:
    from export.endpoints import Endpoint

# The most queries of a request. The client sends more in parts, because a server that batches refuses larger requests.
MAX_BATCH = 64
MANIFEST = "manifest.json"
# Lists of any length in which padding means nothing wherever it stands.
SETS = ("exclude", "candidates")
UNKNOWN = "unknown_"
# The NumPy type of each dtype of a manifest.
DTYPES: dict[str, type] = {"string": object, "int64": np.int64, "int32": np.int32, "float32": np.float32}


class TensorDescription(TypedDict):
    """An input or output in a manifest."""

    name: str
    dtype: str
    shape: list[int | None]
    vocabulary: str | None
    padding: str | int | float


class EndpointDescription(TypedDict):
    """An endpoint in a manifest."""

    inputs: list[TensorDescription]
    outputs: list[TensorDescription]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output of an endpoint, as `export.endpoints.TensorInfo` describes it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    vocabulary: str | None
    padding: str | int | float

    def __str__(self) -> str:
        return f"{self.name} ({self.dtype}, [{', '.join('any' if n is None else str(n) for n in self.shape)}])"

    @classmethod
    def from_description(cls, described: TensorDescription) -> Tensor:
        """The tensor that a manifest describes."""
        shape = tuple(described["shape"])
        return cls(described["name"], described["dtype"], shape, described["vocabulary"], described["padding"])


@dataclasses.dataclass(frozen=True)
class Signature:
    """An endpoint of a model: its inputs and its outputs, in order."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_signatures(
    endpoints: str | Path | Mapping[str, object] | Iterable[Endpoint],
) -> tuple[dict[str, Signature], str | None]:
    """The signatures of a model by name, and the name of its architecture where that is known.

    Args:
        endpoints: The folder of a bundle, its manifest (the file or its content) or `Bundle.endpoints`.

    Raises:
        UserError: If this is none of them.
    """
    described, architecture = _described(endpoints)
    return {name: _signature(name, endpoint) for name, endpoint in described.items()}, architecture


def _described(
    endpoints: str | Path | Mapping[str, object] | Iterable[Endpoint],
) -> tuple[Mapping[str, EndpointDescription], str | None]:
    if isinstance(endpoints, str | Path):
        path = Path(endpoints)
        return _in_manifest(read_json(path if path.is_file() else path / MANIFEST, "bundle"))
    if isinstance(endpoints, Mapping):
        return _in_manifest(endpoints)
    return {endpoint.name: cast(EndpointDescription, endpoint.to_json()) for endpoint in endpoints}, None


def _in_manifest(manifest: Mapping[str, object]) -> tuple[Mapping[str, EndpointDescription], str | None]:
    described, recipe = manifest.get("endpoints"), manifest.get("recipe")
    if not (isinstance(described, Mapping) and isinstance(recipe, Mapping) and "name" in recipe):
        raise UserError("Expected the manifest of a bundle, which has 'endpoints' and 'recipe'.")
    return described, recipe["name"]


def _signature(name: str, described: EndpointDescription) -> Signature:
    inputs = tuple(map(Tensor.from_description, described["inputs"]))
    return Signature(name, inputs, tuple(map(Tensor.from_description, described["outputs"])))
