"""Changes to a converted graph that save space or mend what the converter does differently from TensorFlow."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from export.formats.onnx.graphs import Weights, names_read, rename


def store_equal_weights_once(graph: onnx.GraphProto, weights: Weights) -> None:
    """Lets a graph read equal weights under one name.

    Item vectors are often read twice, as the table of the histories and as the encoded catalogue.
    """
    kept: Weights = {}
    for name, array in weights.items():
        earlier = next((other for other, known in kept.items() if _is_same(known, array)), None)
        if earlier is None:
            kept[name] = array
        else:
            rename(graph, name, earlier)
    for name in weights.keys() - kept.keys():
        del weights[name]


def _is_same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right)


def absorb_transposes(graph: onnx.GraphProto) -> None:
    """Lets Gemm read a matrix as it lies where a transposed copy was made before, so that no copy is needed."""
    sources = {node.output[0]: node.input[0] for node in graph.node if _swaps_two_axes(node)}
    for node in graph.node:
        if node.op_type == "Gemm":
            _read_untransposed(node, sources)
    _drop_unread_transposes(graph)


def _swaps_two_axes(node: onnx.NodeProto) -> bool:
    return node.op_type == "Transpose" and list(node.attribute[0].ints) == [1, 0]


def _read_untransposed(gemm: onnx.NodeProto, sources: dict[str, str]) -> None:
    for attribute in gemm.attribute:
        place = "AB".index(attribute.name.removeprefix("trans"))
        if gemm.input[place] in sources:
            gemm.input[place], attribute.i = sources[gemm.input[place]], 1 - attribute.i


def _drop_unread_transposes(graph: onnx.GraphProto) -> None:
    read = names_read(graph)
    unread = [node for node in graph.node if node.op_type == "Transpose" and node.output[0] not in read]
    for node in unread:
        graph.node.remove(node)


def add_up_repeats(graph: onnx.GraphProto) -> None:
    """Makes ONNX scatter as TensorFlow does: values for the same place add up.

    The converter writes `tf.scatter_nd` as ScatterND into zeros, in which the last value would win.
    """
    zeros = {name for node in graph.node if node.op_type == "ConstantOfShape" for name in node.output}
    for node in graph.node:
        if node.op_type == "ScatterND" and node.input[0] in zeros and not node.attribute:
            node.attribute.append(helper.make_attribute("reduction", "add"))
