"""Raw ids in and out of an ONNX graph: for each vocabulary a LabelEncoder in front and a Gather behind.

Each LabelEncoder keeps all keys in memory, so the lists of one vocabulary go through one encoder side by side. A
Gather gives raw values back, because a second encoder would take three times the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
from onnx import TensorProto, helper

from export.endpoints import UNKNOWN_PREFIX, Endpoint, TensorInfo
from export.formats.onnx.graphs import Weights, rename
from zoo.schema import FIRST_KNOWN, PADDING, UNKNOWN, Vocabulary

ML_DOMAIN = "ai.onnx.ml"
# Later ones store keys as tensors, which loads no faster and takes twice the space for integers.
ML_OPSET = 2
TYPES = {
    "string": TensorProto.STRING,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
}


def add_edges(
    model: onnx.ModelProto, endpoint: Endpoint, vocabularies: Mapping[str, Vocabulary], weights: Weights
) -> None:
    """Replaces the index inputs and outputs of a converted model by raw ones, in the endpoint's order.

    Args:
        model: The model, which is changed.
        endpoint: The endpoint that it is.
        vocabularies: What raw values are looked up in.
        weights: The weights by name. The raw values of integers are added to them.
    """
    graph = model.graph
    # The converter dropped an input that the architecture does not need.
    read = {value.name for value in graph.input}
    before, after = [], []
    for name, vocabulary in vocabularies.items():
        inputs = [info for info in endpoint.inputs if info.vocabulary == name and info.name in read]
        outputs = [info for info in endpoint.outputs if info.vocabulary == name]
        for info in (*inputs, *outputs):
            rename(graph, info.name, _index_name(info))
        before += _encoded(name, inputs, vocabulary)
        after += _decoded(name, outputs, vocabulary, graph, weights)
    _set_content(graph, endpoint, [*before, *graph.node, *after])
    _set_versions(model)


def _set_content(graph: onnx.GraphProto, endpoint: Endpoint, nodes: list[onnx.NodeProto]) -> None:
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(_value(info) for info in endpoint.inputs)
    graph.output.extend(_value(info) for info in endpoint.outputs)
    graph.name = endpoint.name


def _set_versions(model: onnx.ModelProto) -> None:
    model.producer_name, model.producer_version, model.doc_string = "recozoo", "", ""
    others = [opset for opset in model.opset_import if opset.domain != ML_DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend([*others, helper.make_opsetid(ML_DOMAIN, ML_OPSET)])
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))


def _encoded(name: str, inputs: list[TensorInfo], vocabulary: Vocabulary) -> list[onnx.NodeProto]:
    """The nodes that look the inputs of a vocabulary up in it, several lists side by side."""
    lists = [info for info in inputs if len(info.shape) == 2]
    if len(lists) < 2:
        return _each_encoded(inputs, vocabulary)
    others = [info for info in inputs if len(info.shape) != 2]
    return [*_encoded_together(name, lists, vocabulary), *_each_encoded(others, vocabulary)]


def _each_encoded(inputs: Iterable[TensorInfo], vocabulary: Vocabulary) -> list[onnx.NodeProto]:
    return [node for info in inputs for node in _lookup(info.name, _index_name(info), vocabulary)]


def _encoded_together(name: str, lists: list[TensorInfo], vocabulary: Vocabulary) -> list[onnx.NodeProto]:
    sizes = [f"{info.name}__size" for info in lists]
    return [
        *(helper.make_node("Shape", [info.name], [f"{info.name}__size"], start=1, end=2) for info in lists),
        helper.make_node("Concat", sizes, [f"{name}__sizes"], axis=0),
        helper.make_node("Concat", [info.name for info in lists], [f"{name}__raw"], axis=1),
        *_lookup(f"{name}__raw", f"{name}__index", vocabulary),
        helper.make_node("Split", [f"{name}__index", f"{name}__sizes"], [_index_name(info) for info in lists], axis=1),
    ]


def _lookup(raw: str, index: str, vocabulary: Vocabulary) -> list[onnx.NodeProto]:
    encoder = helper.make_node("LabelEncoder", [raw], [f"{index}64"], domain=ML_DOMAIN, default_int64=UNKNOWN)
    keys, indices = encoder.attribute.add(), encoder.attribute.add()
    if vocabulary.is_integer:
        keys.name, keys.type = "keys_int64s", onnx.AttributeProto.INTS
        keys.ints.extend([vocabulary.padding_value, *vocabulary.values.tolist()])
    else:
        keys.name, keys.type = "keys_strings", onnx.AttributeProto.STRINGS
        keys.strings.extend(_bytes([str(vocabulary.padding_value), *vocabulary.values]))
    indices.name, indices.type = "values_int64s", onnx.AttributeProto.INTS
    indices.ints.extend([PADDING, *range(FIRST_KNOWN, vocabulary.size)])
    return [encoder, helper.make_node("Cast", [f"{index}64"], [index], to=TensorProto.INT32)]


def _decoded(
    name: str, outputs: list[TensorInfo], vocabulary: Vocabulary, graph: onnx.GraphProto, weights: Weights
) -> list[onnx.NodeProto]:
    """The nodes that gather raw values by index. Integers go into the weights, texts into the graph."""
    if outputs and vocabulary.is_integer:
        weights[f"{name}__values"] = vocabulary.raw
    elif outputs:
        values = _bytes(vocabulary.raw)
        graph.initializer.add(
            name=f"{name}__values", data_type=TensorProto.STRING, dims=[len(values)], string_data=values
        )
    return [helper.make_node("Gather", [f"{name}__values", _index_name(info)], [info.name]) for info in outputs]


def _bytes(values: Iterable[str]) -> list[bytes]:
    return [value.encode("utf-8") for value in values]


def _index_name(info: TensorInfo) -> str:
    return f"{info.name}__index"


def _value(info: TensorInfo) -> onnx.ValueInfoProto:
    sizes = [size if size is not None else _dynamic(info, axis) for axis, size in enumerate(info.shape)]
    return helper.make_tensor_value_info(info.name, TYPES[info.dtype], sizes)


def _dynamic(info: TensorInfo, axis: int) -> str:
    """The name of a size that any call may choose."""
    if axis == 0:
        return "batch"
    # `score` gives as many scores as it takes items. What is said of an input is as long as the input.
    return "num_items" if info.name == "scores" else f"num_{info.name.removeprefix(UNKNOWN_PREFIX)}"
