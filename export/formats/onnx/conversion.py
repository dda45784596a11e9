"""An endpoint over indices as an ONNX graph, converted without its large weights."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto

from export.endpoints import Endpoint
from export.formats.onnx.graphs import SMALLEST_DATA, Weights, names_read

if TYPE_CHECKING:
    import tensorflow as tf
    from tf2onnx.graph import Graph, Node

    from zoo.types import Tensor

# The converter writes no later operator set. ONNX's own version converter makes later ones from it.
CONVERTER_OPSET = 18


def convert(
    function: tf.types.experimental.GenericFunction, endpoint: Endpoint, opset: int
) -> tuple[onnx.ModelProto, Weights]:
    """The endpoint over indices as a model without its weights, and the weights by the names it has for them.

    Args:
        function: The endpoint, which captures its weights as tensors.
        endpoint: Its description.
        opset: The operator set of ONNX.
    """
    # Otherwise the converter copies the whole graph before each of its passes, which takes a third of its time.
    os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")
    import tf2onnx

    lifted, weights = _lifted(function.get_concrete_function(), endpoint)
    model, _ = tf2onnx.convert.from_function(
        lifted,
        input_signature=lifted.input_signature,
        opset=min(opset, CONVERTER_OPSET),
        custom_op_handlers={
            "Erfc": (_to_erf, []),
            "MatMul": (_to_gemm, []),
            "SelectV2": (_to_where, []),
            "TopKV2": (_to_top_k, []),
        },
    )
    if opset > CONVERTER_OPSET:
        model = onnx.version_converter.convert_version(model, opset)
    # The shapes in between name sizes that nobody knows. Runtimes infer them.
    del model.graph.value_info[:]
    _drop_inputs(model.graph, weights)
    read = names_read(model.graph)
    return model, {name: array for name, array in weights.items() if name in read}


def _drop_inputs(graph: onnx.GraphProto, names: Weights) -> None:
    inputs = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)


def _lifted(
    function: tf.types.experimental.ConcreteFunction, endpoint: Endpoint
) -> tuple[tf.types.experimental.GenericFunction, Weights]:
    """A function that takes large weights as inputs, and these weights.

    The converter copies what it sees into a message of 2 GB at most.
    """
    import tensorflow as tf

    specs = [info.index_spec for info in endpoint.inputs]
    # Views of the memory, because `numpy()` copies.
    captured = [np.asarray(memoryview(tensor)) for tensor in function.captured_inputs]
    weights = {f"weights_{index}": array for index, array in enumerate(captured) if array.nbytes > SMALLEST_DATA}
    weight_specs = [tf.TensorSpec(array.shape, array.dtype, name) for name, array in weights.items()]

    @tf.function(input_signature=[*specs, *weight_specs], autograph=False)
    def lifted(*tensors: Tensor) -> dict[str, Tensor]:
        large = dict(zip(weights, tensors[len(specs) :], strict=True))
        every = [large.get(f"weights_{index}", array) for index, array in enumerate(captured)]
        return _imported(function, [*tensors[: len(specs)], *every])

    return lifted, weights


def _imported(function: tf.types.experimental.ConcreteFunction, given: list[Tensor | np.ndarray]) -> dict[str, Tensor]:
    """The outputs of a function, copied into the graph that is being made, for some inputs and captured tensors."""
    import tensorflow as tf

    outputs = {name: tensor.name for name, tensor in function.structured_outputs.items()}
    input_map = {inner.name: tf.convert_to_tensor(value) for inner, value in zip(function.inputs, given, strict=True)}
    graph_def = function.graph.as_graph_def()
    values = tf.graph_util.import_graph_def(graph_def, input_map, list(outputs.values()), name="")
    return dict(zip(outputs, values, strict=True))


def _to_erf(context: Graph, node: Node, name: str, args: list[object]) -> None:
    """The complement of the error function, which GELU is made of, as 1 minus that function. ONNX has no other."""
    node.type = "Erf"
    one = context.make_const(f"{name}_one", np.array(1, np.float32))
    inputs = [one.output[0], node.output[0]]
    complement = context.insert_new_node_on_output("Sub", node.output[0], inputs=inputs)
    context.copy_dtype(node.output[0], complement.output[0])
    context.copy_shape(node.output[0], complement.output[0])


def _to_gemm(context: Graph, node: Node, name: str, args: list[object]) -> None:
    """A product of two matrices as Gemm, which reads the item matrix as it lies. MatMul needs a transposed copy."""
    transposed = {f"trans{side}": int(node.get_attr_value(f"transpose_{side.lower()}", 0)) for side in "AB"}
    node.type = "Gemm"
    node.attr.clear()
    for attribute, value in transposed.items():
        node.set_attr(attribute, value)


def _to_where(context: Graph, node: Node, name: str, args: list[object]) -> None:
    """A choice as a choice. The converter would make two products and a sum of it, in which a NaN spreads."""
    node.type = "Where"


def _to_top_k(context: Graph, node: Node, name: str, args: list[object]) -> None:
    """A top-k of what is given. The converter would make floats of item indices, which are exact up to 2**24 only."""
    one_number = context.make_const(f"{name}_shape", np.array([1], np.int64))
    k = context.make_node("Cast", [node.input[1]], attr={"to": TensorProto.INT64})
    k = context.make_node("Reshape", [k.output[0], one_number.output[0]])
    context.replace_input(node, node.input[1], k.output[0], 1)
    node.type = "TopK"
    # TensorFlow counts places in int32, ONNX in int64.
    places = context.insert_new_node_on_output("Cast", node.output[1], to=TensorProto.INT32)
    context.set_dtype(places.output[0], TensorProto.INT32)
    context.copy_shape(node.output[1], places.output[0])
    context.set_dtype(node.output[1], TensorProto.INT64)
