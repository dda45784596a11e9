"""ONNX with raw ids in and out: the graph over indices between a LabelEncoder and a Gather for each vocabulary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.endpoints import Endpoint, EndpointGraphs, TensorInfo
from export.formats.onnx.opsets import check_opset
from zoo.schema import FIRST_KNOWN, PADDING, UNKNOWN, Vocabulary

# The converter's last; from there on, ONNX's own version converter does the rest.
CONVERTER_OPSET = 18
# Later ones store keys as tensors, which loads no faster and takes twice the space for integers.
ML_OPSET = 2
# A protobuf message ends at 2 GiB. Of a larger model, the tables lie in a file beside it.
LARGEST_FILE = 2_000_000_000
DATA_SUFFIX = ".data"
# Sizes and axes stay in the graph, where shape inference reads them; offsets are those a system can map into memory.
SMALLEST_DATA = 1024
PAGE = 4096
TYPES = {
    "string": TensorProto.STRING,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
}

Weights = dict[str, np.ndarray]


def write(
    graphs: EndpointGraphs, vocabularies: Mapping[str, Vocabulary], folder: Path, opset: int | None = None
) -> None:
    """Writes `folder/<endpoint>.onnx` for every endpoint, and `<endpoint>.onnx.data` beside one beyond 2 GB.

    Args:
        graphs: The endpoints over indices.
        vocabularies: What raw values are looked up in.
        folder: Where the files go; made if need be.
        opset: The operator set of ONNX, from `OLDEST_OPSET` to `LATEST_OPSET`; by default `DEFAULT_OPSET`.

    Raises:
        UserError: If there is no such operator set, or it is not among those.
    """
    opset = check_opset(opset)
    folder.mkdir(parents=True, exist_ok=True)
    for endpoint in graphs.endpoints:
        model, weights = _convert(graphs.constant_function(endpoint), endpoint, opset)
        _store_equal_weights_once(model.graph, weights)
        _absorb_transposes(model.graph)
        _add_up_repeats(model.graph)
        _fold(model, weights)
        _add_edges(model, endpoint, vocabularies, weights)
        _save(model, weights, folder / f"{endpoint.name}.onnx")


def _convert(function: Any, endpoint: Endpoint, opset: int) -> tuple[Any, Weights]:
    """The endpoint over indices, as a graph without its weights, and these by the names it has for them."""
    # Otherwise the converter copies the whole graph before each of its passes, which takes a third of its time.
    os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")
    import tf2onnx

    lifted, weights = _lifted(function.get_concrete_function(), endpoint)
    model, _ = tf2onnx.convert.from_function(
        lifted,
        input_signature=lifted.input_signature,
        opset=min(opset, CONVERTER_OPSET),
        custom_op_handlers={"MatMul": (_to_gemm, []), "SelectV2": (_to_where, []), "TopKV2": (_to_top_k, [])},
    )
    if opset > CONVERTER_OPSET:
        model = onnx.version_converter.convert_version(model, opset)
    graph = model.graph
    # Shapes of values in between name sizes that nobody knows, and runtimes infer them anyway.
    del graph.value_info[:]
    read = {name for node in _nodes(graph) for name in node.input}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    return model, {name: array for name, array in weights.items() if name in read}


def _lifted(function: Any, endpoint: Endpoint) -> tuple[Any, Weights]:
    """A function with large weights as inputs: what the converter sees, it copies into a message of 2 GB at most."""
    import tensorflow as tf

    specs = [info.index_spec for info in endpoint.inputs]
    # Views of the memory, for `numpy()` copies.
    captured = [np.asarray(memoryview(tensor)) for tensor in function.captured_inputs]
    weights = {f"weights_{index}": array for index, array in enumerate(captured) if array.nbytes > SMALLEST_DATA}
    weight_specs = [tf.TensorSpec(array.shape, array.dtype, name) for name, array in weights.items()]

    @tf.function(input_signature=[*specs, *weight_specs], autograph=False)
    def lifted(*tensors: Any) -> dict[str, Any]:
        large = dict(zip(weights, tensors[len(specs) :], strict=True))
        every = [large.get(f"weights_{index}", array) for index, array in enumerate(captured)]
        given = [*tensors[: len(specs)], *every]
        outputs = {name: tensor.name for name, tensor in function.structured_outputs.items()}
        input_map = {
            inner.name: tf.convert_to_tensor(value) for inner, value in zip(function.inputs, given, strict=True)
        }
        graph_def = function.graph.as_graph_def()
        values = tf.graph_util.import_graph_def(graph_def, input_map, list(outputs.values()), name="")
        return dict(zip(outputs, values, strict=True))

    return lifted, weights


def _to_gemm(context: Any, node: Any, name: str, args: Any) -> None:
    """A product of two matrices as Gemm, which reads the item matrix as it lies; MatMul needs a transposed copy."""
    transposed = {f"trans{side}": int(node.get_attr_value(f"transpose_{side.lower()}", 0)) for side in "AB"}
    node.type = "Gemm"
    node.attr.clear()
    for attribute, value in transposed.items():
        node.set_attr(attribute, value)


def _absorb_transposes(graph: Any) -> None:
    """Lets Gemm read matrices that were transposed before it as they lie, so that there is no second one of each."""
    sources = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose" and list(node.attribute[0].ints) == [1, 0]
    }
    for node in graph.node:
        if node.op_type == "Gemm":
            for attribute in node.attribute:
                place = "AB".index(attribute.name.removeprefix("trans"))
                if node.input[place] in sources:
                    node.input[place], attribute.i = sources[node.input[place]], 1 - attribute.i
    read = {name for node in _nodes(graph) for name in node.input}
    unread = [node for node in graph.node if node.op_type == "Transpose" and node.output[0] not in read]
    for node in unread:
        graph.node.remove(node)


def _to_where(context: Any, node: Any, name: str, args: Any) -> None:
    """A choice as a choice; the converter would make two products and a sum of it, in which a NaN spreads."""
    node.type = "Where"


def _to_top_k(context: Any, node: Any, name: str, args: Any) -> None:
    """A top-k of what is given; the converter would make floats of item indices, which are exact to 2**24 only."""
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


def _store_equal_weights_once(graph: Any, weights: Weights) -> None:
    """Item vectors are often read twice, as the table of the histories and as the encoded catalogue."""
    names = list(weights)
    for index, name in enumerate(names):
        for earlier in names[:index]:
            if earlier in weights and _is_same(weights[earlier], weights[name]):
                _rename(graph, name, earlier)
                del weights[name]
                break


def _is_same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right)


def _add_up_repeats(graph: Any) -> None:
    """Makes ONNX scatter as TensorFlow does: values for the same place add up.

    The converter writes `tf.scatter_nd` as ScatterND into zeros, in which the last value would win.
    """
    zeros = {name for node in graph.node if node.op_type == "ConstantOfShape" for name in node.output}
    for node in graph.node:
        if node.op_type == "ScatterND" and node.input[0] in zeros and not node.attribute:
            node.attribute.append(helper.make_attribute("reduction", "add"))


def _fold(model: Any, weights: Weights) -> None:
    """Replaces what depends on weights and constants alone by its value, unless that would take more space."""
    graph = model.graph
    constants = {**weights, **{tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}}
    known, outputs = set(constants), {value.name for value in graph.output}
    folded = []
    for node in graph.node:
        # A loop or a branch may read more than its inputs.
        has_graph = any(attribute.HasField("g") for attribute in node.attribute)
        if not has_graph and known.issuperset(filter(None, node.input)) and outputs.isdisjoint(node.output):
            folded.append(node)
            known.update(node.output)
    if not folded:
        return
    rest = onnx.GraphProto(node=[node for node in graph.node if node not in folded])
    read = {name for node in _nodes(rest) for name in node.input}
    values = {**constants, **_evaluated(folded, constants, read, model.opset_import)}
    kept = {name: value for name, value in values.items() if name in read}
    if _size(kept.values()) <= _size(constants.values()) + SMALLEST_DATA:
        del graph.node[:], graph.initializer[:]
        graph.node.extend(rest.node)
        weights.clear()
        weights.update(kept)


def _evaluated(nodes: list[Any], constants: Weights, wanted: set[str], opsets: Any) -> Weights:
    """The wanted outputs of nodes whose inputs are constants."""
    from onnx.reference import ReferenceEvaluator

    read = {name for node in nodes for name in node.input}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in constants.items()
        if name in read
    ]
    names = [name for node in nodes for name in node.output if name in wanted]
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    model = helper.make_model(helper.make_graph(nodes, "constants", inputs, outputs), opset_imports=opsets)
    values = ReferenceEvaluator(model).run(names, {value.name: constants[value.name] for value in inputs})
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _size(arrays: Iterable[np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays)


def _add_edges(model: Any, endpoint: Endpoint, vocabularies: Mapping[str, Vocabulary], weights: Weights) -> None:
    """Replaces the index inputs and outputs of a converted graph by raw ones, in the endpoint's order."""
    graph = model.graph
    # An input that the architecture does not need was dropped by the converter.
    read = {value.name for value in graph.input}
    before, after = [], []
    for name, vocabulary in vocabularies.items():
        inputs = [info for info in endpoint.inputs if info.vocabulary == name and info.name in read]
        outputs = [info for info in endpoint.outputs if info.vocabulary == name]
        for info in inputs:
            _rename(graph, info.name, _index_name(info))
        for info in outputs:
            _rename(graph, info.name, _index_name(info))
        before += _encode(name, inputs, vocabulary)
        after += _decode(name, outputs, vocabulary, graph, weights)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(_value(info) for info in endpoint.inputs)
    graph.output.extend(_value(info) for info in endpoint.outputs)
    graph.name = endpoint.name
    model.producer_name, model.producer_version, model.doc_string = "recozoo", "", ""
    others = [opset for opset in model.opset_import if opset.domain != "ai.onnx.ml"]
    del model.opset_import[:]
    model.opset_import.extend([*others, helper.make_opsetid("ai.onnx.ml", ML_OPSET)])
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)


def _encode(name: str, inputs: list[TensorInfo], vocabulary: Vocabulary) -> list[Any]:
    """Looks the inputs of a vocabulary up in it; lists side by side, for each encoder keeps all keys in memory."""
    lists = [info for info in inputs if len(info.shape) == 2]
    if len(lists) < 2:
        return [node for info in inputs for node in _lookup(info.name, _index_name(info), vocabulary)]
    sizes = [f"{info.name}__size" for info in lists]
    nodes = [helper.make_node("Shape", [info.name], [f"{info.name}__size"], start=1, end=2) for info in lists]
    nodes += [
        helper.make_node("Concat", sizes, [f"{name}__sizes"], axis=0),
        helper.make_node("Concat", [info.name for info in lists], [f"{name}__raw"], axis=1),
        *_lookup(f"{name}__raw", f"{name}__index", vocabulary),
        helper.make_node("Split", [f"{name}__index", f"{name}__sizes"], [_index_name(info) for info in lists], axis=1),
    ]
    others = [info for info in inputs if len(info.shape) != 2]
    return [*nodes, *_encode(name, others, vocabulary)]


def _lookup(raw: str, index: str, vocabulary: Vocabulary) -> list[Any]:
    encoder = helper.make_node("LabelEncoder", [raw], [f"{index}64"], domain="ai.onnx.ml", default_int64=UNKNOWN)
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


def _decode(name: str, outputs: list[TensorInfo], vocabulary: Vocabulary, graph: Any, weights: Weights) -> list[Any]:
    """Gathers raw values by index; a second encoder would take three times the memory."""
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


def _rename(graph: Any, old: str, new: str) -> None:
    for node in _nodes(graph):
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside its loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _value(info: TensorInfo) -> Any:
    sizes = [size if size is not None else _dynamic(info, axis) for axis, size in enumerate(info.shape)]
    return helper.make_tensor_value_info(info.name, TYPES[info.dtype], sizes)


def _dynamic(info: TensorInfo, axis: int) -> str:
    if axis == 0:
        return "batch"
    # The scores of `score` are as many as its items, and what is said of an input is as long as that.
    return "num_items" if info.name == "scores" else f"num_{info.name.removeprefix('unknown_')}"


def _save(model: Any, weights: Weights, path: Path) -> None:
    """Writes a model with its weights, and lets the checker read what was written."""
    if model.ByteSize() + _size(weights.values()) <= LARGEST_FILE:
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    else:
        model.graph.initializer.extend(_stored_beside(weights, path.with_name(path.name + DATA_SUFFIX)))
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(path, full_check=True)


def _stored_beside(weights: Weights, path: Path) -> Iterator[Any]:
    """Writes weights into a file, straight from where they lie in memory, and gives the tensors that point to it."""
    with path.open("wb") as file:
        for name, array in weights.items():
            if array.nbytes < SMALLEST_DATA:
                yield numpy_helper.from_array(array, name)
                continue
            offset = -(-file.tell() // PAGE) * PAGE
            file.seek(offset)
            array.tofile(file)
            tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
            tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
            for key, value in (("location", path.name), ("offset", offset), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            yield tensor
