"""A model with its weights as a file, and as two files where it is larger than one may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.formats.onnx.graphs import SMALLEST_DATA, Weights, size_of

# A protobuf message ends at 2 GiB. The tables of a larger model are in a file beside it.
LARGEST_FILE = 2_000_000_000
DATA_SUFFIX = ".data"
# Tables begin at multiples of it, because a system can map only those into memory.
PAGE = 4096


def save(model: onnx.ModelProto, weights: Weights, path: Path) -> None:
    """Writes a model with its weights, and lets ONNX's checker read what was written.

    Args:
        model: The model. The weights, or where they are, are added to it.
        weights: Its weights by name.
        path: The file. Of a model that is too large for one, `<path>.data` holds the tables.
    """
    if model.ByteSize() + size_of(weights.values()) <= LARGEST_FILE:
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    else:
        model.graph.initializer.extend(_stored_beside(weights, path.with_name(path.name + DATA_SUFFIX)))
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(path, full_check=True)


def _stored_beside(weights: Weights, path: Path) -> Iterator[TensorProto]:
    """Writes weights into a file, straight from where they lie in memory, and gives the tensors that point to it."""
    with path.open("wb") as file:
        for name, array in weights.items():
            if array.nbytes < SMALLEST_DATA:
                yield numpy_helper.from_array(array, name)
                continue
            offset = -(-file.tell() // PAGE) * PAGE
            file.seek(offset)
            array.tofile(file)
            yield _outside(name, array, path.name, offset)


def _outside(name: str, array: np.ndarray, file: str, offset: int) -> TensorProto:
    """A tensor whose numbers are in another file."""
    tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    for key, value in (("location", file), ("offset", offset), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
