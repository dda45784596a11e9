"""What a graph computes from constants only, computed once when the file is written."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.formats.onnx.graphs import SMALLEST_DATA, Weights, names_read, size_of


def fold(model: onnx.ModelProto, weights: Weights) -> None:
    """Replaces what depends only on weights and constants by its value, unless that would take more space.

    Args:
        model: The model, which is changed.
        weights: The weights by name. They become those that the changed model reads, its own constants included.
    """
    graph = model.graph
    constants = {**weights, **{tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}}
    folded, others = _split(graph, constants)
    if not folded:
        return
    # Copies, because the nodes of the graph are deleted below.
    rest = onnx.GraphProto(node=others)
    read = names_read(rest)
    values = {**constants, **_evaluate(folded, constants, read, model.opset_import)}
    kept = {name: value for name, value in values.items() if name in read}
    if size_of(kept.values()) <= size_of(constants.values()) + SMALLEST_DATA:
        del graph.node[:], graph.initializer[:]
        graph.node.extend(rest.node)
        weights.clear()
        weights.update(kept)


def _split(graph: onnx.GraphProto, constants: Iterable[str]) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """The nodes that depend only on constants, and the others, each in their order."""
    known, outputs = set(constants), {value.name for value in graph.output}
    folded, rest = [], []
    for node in graph.node:
        if not _has_graph(node) and known.issuperset(filter(None, node.input)) and outputs.isdisjoint(node.output):
            folded.append(node)
            known.update(node.output)
        else:
            rest.append(node)
    return folded, rest


def _has_graph(node: onnx.NodeProto) -> bool:
    """Whether a node is a loop or a branch, which may read more than its inputs."""
    return any(attribute.HasField("g") for attribute in node.attribute)


def _evaluate(
    nodes: list[onnx.NodeProto], constants: Weights, wanted: set[str], opsets: Iterable[onnx.OperatorSetIdProto]
) -> Weights:
    """The wanted outputs of nodes whose inputs are constants."""
    from onnx.reference import ReferenceEvaluator

    feeds = _read_by(nodes, constants)
    names = [name for node in nodes for name in node.output if name in wanted]
    inputs = [_described(name, value) for name, value in feeds.items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    model = helper.make_model(helper.make_graph(nodes, "constants", inputs, outputs), opset_imports=[*opsets])
    values = ReferenceEvaluator(model).run(names, feeds)
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _read_by(nodes: Iterable[onnx.NodeProto], constants: Weights) -> Weights:
    read = {name for node in nodes for name in node.input}
    return {name: value for name, value in constants.items() if name in read}


def _described(name: str, value: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
