"""ONNX with raw ids in and out: the graph over indices between ai.onnx.ml LabelEncoder nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from export.endpoints import Endpoint, EndpointGraphs, TensorInfo
from zoo.schema import FIRST_KNOWN, PADDING, UNKNOWN, Vocabulary

NAME = "onnx"
OPSET = 17
ML_OPSET = 2
IR_VERSION = 9
TYPES = {"string": TensorProto.STRING, "int64": TensorProto.INT64, "float32": TensorProto.FLOAT}


def write(graphs: EndpointGraphs, vocabularies: dict[str, Vocabulary], folder: Path) -> None:
    """Writes `folder/<endpoint>.onnx` for every endpoint.

    Args:
        graphs: The endpoints over indices.
        vocabularies: What raw values are looked up in.
        folder: Where the files go; made if need be.
    """
    import tf2onnx

    folder.mkdir(parents=True, exist_ok=True)
    for endpoint in graphs.endpoints:
        # The converter would copy weights many times over, so it is kept from seeing them.
        function, specs = graphs.constant_function(endpoint), [info.index_spec for info in endpoint.inputs]
        model, _ = tf2onnx.convert.from_function(function, input_signature=specs, opset=OPSET)
        _add_constants(model.graph, function.get_concrete_function())
        _add_up_repeats(model.graph)
        _add_edges(model, endpoint, vocabularies)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / f"{endpoint.name}.onnx")


def _add_constants(graph: Any, function: Any) -> None:
    """Stores the tensors that a function refers to from outside, which the converter makes inputs of."""
    captured = {inner.name: value for value, inner in function.graph.captures if value.dtype != tf.resource}
    inputs = [value for value in graph.input if value.name not in captured]
    read = {name for node in graph.node for name in node.input}
    for value in graph.input:
        if value.name in captured and value.name in read:
            graph.initializer.append(numpy_helper.from_array(captured[value.name].numpy(), value.name))
    del graph.input[:]
    graph.input.extend(inputs)


def _add_up_repeats(graph: Any) -> None:
    """Makes ONNX scatter as TensorFlow does: values for the same place add up.

    The converter writes `tf.scatter_nd` as ScatterND into zeros, in which the last value would win.
    """
    zeros = {name for node in graph.node if node.op_type == "ConstantOfShape" for name in node.output}
    for node in graph.node:
        if node.op_type == "ScatterND" and node.input[0] in zeros and not node.attribute:
            node.attribute.append(helper.make_attribute("reduction", "add"))


def _add_edges(model: Any, endpoint: Endpoint, vocabularies: dict[str, Vocabulary]) -> None:
    """Replaces the index inputs and outputs of a converted graph by raw ones, in the endpoint's order."""
    graph = model.graph
    inner_inputs = {value.name.split(":")[0]: value.name for value in graph.input}
    inner_outputs = {value.name.split(":")[0]: value.name for value in graph.output}
    before, after = [], []
    for info in endpoint.inputs:
        # An input that the architecture does not need was dropped by the converter.
        if info.name in inner_inputs:
            inner = f"{info.name}__index"
            _rename(graph, inner_inputs[info.name], inner)
            before += _encode(info, inner, vocabularies)
    for info in endpoint.outputs:
        inner = f"{info.name}__out"
        _rename(graph, inner_outputs[info.name], inner)
        after += _decode(info, inner, vocabularies)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(_value(info) for info in endpoint.inputs)
    graph.output.extend(_value(info) for info in endpoint.outputs)
    others = [opset for opset in model.opset_import if opset.domain != "ai.onnx.ml"]
    del model.opset_import[:]
    model.opset_import.extend([*others, helper.make_opsetid("ai.onnx.ml", ML_OPSET)])
    model.ir_version = IR_VERSION


def _encode(info: TensorInfo, inner: str, vocabularies: dict[str, Vocabulary]) -> list[Any]:
    if info.vocabulary is None:
        return [helper.make_node("Identity", [info.name], [inner])]
    vocabulary = vocabularies[info.vocabulary]
    kind = "int64s" if vocabulary.is_integer else "strings"
    attributes: dict[str, Any] = {
        f"keys_{kind}": [vocabulary.padding_value, *vocabulary.values.tolist()],
        "values_int64s": [PADDING, *range(FIRST_KNOWN, vocabulary.size)],
        "default_int64": UNKNOWN,
    }
    encoder = helper.make_node("LabelEncoder", [info.name], [f"{inner}_int64"], domain="ai.onnx.ml", **attributes)
    return [encoder, helper.make_node("Cast", [f"{inner}_int64"], [inner], to=TensorProto.INT32)]


def _decode(info: TensorInfo, inner: str, vocabularies: dict[str, Vocabulary]) -> list[Any]:
    if info.vocabulary is None:
        return [helper.make_node("Identity", [inner], [info.name])]
    vocabulary = vocabularies[info.vocabulary]
    kind = "int64" if vocabulary.is_integer else "string"
    attributes: dict[str, Any] = {
        "keys_int64s": range(FIRST_KNOWN, vocabulary.size),
        f"values_{kind}s": vocabulary.values.tolist(),
        f"default_{kind}": vocabulary.padding_value,
    }
    decoder = helper.make_node("LabelEncoder", [f"{inner}_int64"], [info.name], domain="ai.onnx.ml", **attributes)
    return [helper.make_node("Cast", [inner], [f"{inner}_int64"], to=TensorProto.INT64), decoder]


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _value(info: TensorInfo) -> Any:
    sizes = [size if size is not None else _dynamic(info, axis) for axis, size in enumerate(info.shape)]
    return helper.make_tensor_value_info(info.name, TYPES[info.dtype], sizes)


def _dynamic(info: TensorInfo, axis: int) -> str:
    # The scores of `score` are as many as its items.
    return "batch" if axis == 0 else f"num_{'items' if info.name == 'scores' else info.name}"
