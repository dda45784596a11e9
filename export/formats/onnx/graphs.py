"""What the steps of writing an ONNX file share: weights apart from their graph, and walks over its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
import onnx

# The weights of a graph by the names it has for them.
Weights: TypeAlias = dict[str, np.ndarray]
# A smaller array stays in the graph, because shape inference reads sizes and axes there.
SMALLEST_DATA = 1024


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside its loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)


def names_read(graph: onnx.GraphProto) -> set[str]:
    """The names of the values that the nodes of a graph read."""
    return {name for node in all_nodes(graph) for name in node.input}


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Renames a value wherever a node reads or makes it."""
    for node in all_nodes(graph):
        node.input[:] = _renamed(node.input, old, new)
        node.output[:] = _renamed(node.output, old, new)


def _renamed(names: Iterable[str], old: str, new: str) -> list[str]:
    return [new if name == old else name for name in names]


def size_of(arrays: Iterable[np.ndarray]) -> int:
    """The bytes of some arrays."""
    return sum(array.nbytes for array in arrays)
