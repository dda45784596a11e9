"""SavedModel with raw ids in and out, in a version folder as TF Serving reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from export.endpoints import Endpoint, EndpointGraphs, TensorInfo
from zoo.schema import PADDING, UNKNOWN, Vocabulary

if TYPE_CHECKING:
    from zoo.types import Tensor

VERSION = "1"


def write(graphs: EndpointGraphs, vocabularies: dict[str, Vocabulary], folder: Path, version: str = VERSION) -> None:
    """Writes `folder/<version>` with one signature an endpoint; `serving_default` is `recommend`.

    Args:
        graphs: The endpoints over indices.
        vocabularies: What raw values are looked up in.
        folder: The folder of versions. It is made if need be.
        version: The version, a whole number. A server takes the largest one.
    """
    module = tf.Module()
    edges = {name: _Edge(vocabulary) for name, vocabulary in vocabularies.items()}
    module.edges = list(edges.values())
    functions = {endpoint.name: _raw(graphs, endpoint, edges) for endpoint in graphs.endpoints}
    # Only what an endpoint reads is stored. The item tower is not, because its vectors are in the catalogue.
    module.read = [variable for function in functions.values() for variable in function.graph.variables]
    functions["serving_default"] = functions["recommend"]
    tf.saved_model.save(module, str(folder / version), signatures=functions)


class _Edge(tf.Module):
    """The way from raw values to indices and back."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        dtype = tf.int64 if vocabulary.is_integer else tf.string
        keys = [vocabulary.padding_value, *vocabulary.values.tolist()]
        indices = [PADDING, *range(UNKNOWN + 1, vocabulary.size)]
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(keys, dtype), tf.constant(indices, tf.int64))
        self.table = tf.lookup.StaticHashTable(initializer, default_value=UNKNOWN)
        self.raw = tf.constant(vocabulary.raw.tolist(), dtype)

    def index(self, values: Tensor) -> Tensor:
        return tf.cast(self.table.lookup(values), tf.int32)

    def lookup(self, indices: Tensor) -> Tensor:
        return tf.gather(self.raw, indices)


def _raw(graphs: EndpointGraphs, endpoint: Endpoint, edges: dict[str, _Edge]) -> tf.types.experimental.ConcreteFunction:
    """An endpoint as a concrete function of raw values."""

    def to_index(info: TensorInfo, values: Tensor) -> Tensor:
        return edges[info.vocabulary].index(values) if info.vocabulary else values

    def to_raw(info: TensorInfo, values: Tensor) -> Tensor:
        return edges[info.vocabulary].lookup(values) if info.vocabulary else values

    def run(*values: Tensor) -> dict[str, Tensor]:
        checked = _checked(endpoint, values)
        tensors = {i.name: to_index(i, value) for i, value in zip(endpoint.inputs, checked, strict=True)}
        answer = graphs.call(endpoint, tensors)
        return {info.name: to_raw(info, answer[info.name]) for info in endpoint.outputs}

    signature = [info.raw_spec for info in endpoint.inputs]
    return tf.function(run, input_signature=signature, autograph=False).get_concrete_function()


def _checked(endpoint: Endpoint, values: tuple[Tensor, ...]) -> list[Tensor]:
    """The inputs, if they have the shapes they must have. A server checks nothing, and operators would broadcast."""
    shaped = [tf.ensure_shape(value, info.shape) for info, value in zip(endpoint.inputs, values, strict=True)]
    rows = tf.stack([tf.shape(value)[0] for value in shaped])
    names = ", ".join(info.name for info in endpoint.inputs)
    same = tf.debugging.Assert(
        tf.reduce_all(rows == rows[0]), [f"Inputs differ in their number of rows ({names}):", rows]
    )
    with tf.control_dependencies([same]):
        return [tf.identity(value) for value in shaped]
