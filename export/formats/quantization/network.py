"""A TFLite model as objects that can be changed and written again."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import ArrayLike

from export.formats.quantization.parts import find_parts

# A smaller table stays as it is, because nothing would be saved.
LEAST_NUMBERS = 1024
# A matrix of more rows is that of a catalogue. The file format would store each of its scales in 12 bytes.
MOST_UNITS = 2048
# The bytes of a table that others are parts of begin at a multiple of it.
ALIGNMENT = 64

Op = schema.BuiltinOperator
Kind = schema.TensorType


@dataclasses.dataclass(frozen=True)
class Table:
    """Weights worth quantizing.

    Args:
        width: The numbers of a row.
        is_layer: Whether every use of them is as the matrix of a layer of few units, and no row is looked up.
    """

    width: int
    is_layer: bool


class Quantization(schema.QuantizationParametersT):  # type: ignore[misc]
    """The scale of a tensor, or one for each of its rows. However many tensors have it, the file stores it once.

    Args:
        scale: One number, or one a row.
        zero: The 8-bit number that means 0.
    """

    def __init__(self, scale: ArrayLike, zero: int = 0) -> None:
        scale = np.atleast_1d(np.asarray(scale, np.float32))
        super().__init__(scale=scale, zeroPoint=np.full(len(scale), zero, np.int64))
        self._builder: flatbuffers.Builder | None = None

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        """The place in the file where it is stored. The first call for a builder stores it."""
        if self._builder is not builder:
            self._builder, self._place = builder, super().Pack(builder)
        return self._place


class Network:
    """A TFLite model as objects that can be changed.

    Args:
        content: A TFLite model.

    Attributes:
        graphs: Its graphs.
        buffers: The bytes of every constant.
        views: For a buffer that is a place inside another one: that other one, and the byte at which it begins.
        tables: The buffers worth quantizing.
    """

    def __init__(self, content: bytes) -> None:
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        self.graphs: list[schema.SubGraphT] = self._model.subgraphs
        for graph in self.graphs:
            _drop_notes(graph)
        whole = np.frombuffer(content, np.uint8)
        self.buffers = [_bytes(buffer, whole) for buffer in self._model.buffers]
        self._share_the_empty_buffer()
        widths = self._row_widths()
        self.views = find_parts(self.buffers, widths)
        self.tables = {buffer: Table(width, self._is_layer(buffer, width)) for buffer, width in widths.items()}

    @property
    def _tensors(self) -> list[schema.TensorT]:
        return [tensor for graph in self.graphs for tensor in graph.tensors]

    @property
    def signatures(self) -> dict[str, int]:
        """The index of the graph of each signature."""
        return {known.signatureKey.decode(): known.subgraphIndex for known in self._model.signatureDefs}

    def code(self, operator: schema.OperatorT) -> int:
        """Which built-in operator an operator is."""
        return _code(self._model.operatorCodes[operator.opcodeIndex])

    def floats(self, buffer: int) -> np.ndarray:
        """The numbers of a float buffer."""
        return self.buffers[buffer].view(np.float32)

    def root(self, buffer: int) -> int:
        """The buffer that another one is a part of, or the buffer itself."""
        return self.views[buffer][0] if buffer in self.views else buffer

    def is_table(self, graph: schema.SubGraphT, tensor: int) -> bool:
        """Whether a tensor holds weights worth quantizing."""
        return tensor >= 0 and graph.tensors[tensor].buffer in self.tables

    def is_product(self, graph: schema.SubGraphT, operator: schema.OperatorT) -> bool:
        """Whether an operator multiplies with a matrix of weights worth quantizing."""
        return self.code(operator) == Op.FULLY_CONNECTED and self.is_table(graph, operator.inputs[1])

    def layer(self, graph: schema.SubGraphT, operator: schema.OperatorT) -> int | None:
        """The buffer of the matrix of an operator that is a layer worth quantizing; `None` for other operators."""
        if not self.is_product(graph, operator):
            return None
        buffer: int = graph.tensors[operator.inputs[1]].buffer
        return buffer if self.tables[buffer].is_layer else None

    def tables_in(self, graph: schema.SubGraphT) -> list[int]:
        """The tensors of a graph that hold weights worth quantizing."""
        return [tensor for tensor in range(len(graph.tensors)) if self.is_table(graph, tensor)]

    def drop_unread(self, graph: schema.SubGraphT) -> None:
        """Removes the operators of a graph whose results are not read."""
        read = set(graph.outputs)
        kept = []
        for operator in reversed(graph.operators):
            if read.intersection(operator.outputs):
                read.update(operator.inputs)
                kept.append(operator)
        graph.operators = kept[::-1]

    def add_tensor(
        self,
        graph: schema.SubGraphT,
        like: int,
        kind: int,
        *,
        buffer: int = 0,
        shape: Sequence[int] | None = None,
        quantization: Quantization | None = None,
    ) -> int:
        """Adds a tensor and gives its index. It has the shape of another one unless a shape is given."""
        shape = graph.tensors[like].shape if shape is None else shape
        tensor = schema.TensorT(
            shape=shape, type=kind, buffer=buffer, quantization=quantization, hasRank=graph.tensors[like].hasRank
        )
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def add_buffer(self, numbers: np.ndarray) -> int:
        """Adds constants and gives the index of their buffer."""
        self.buffers.append(np.ascontiguousarray(numbers).view(np.uint8))
        self._model.buffers.append(schema.BufferT())
        return len(self.buffers) - 1

    def make(
        self, code: int, version: int, inputs: Sequence[int], output: int, options: object | None = None
    ) -> schema.OperatorT:
        """A new operator, not yet in a graph."""
        kind = 0 if options is None else getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        return schema.OperatorT(
            opcodeIndex=self._opcode(code, version),
            inputs=inputs,
            outputs=[output],
            builtinOptionsType=kind,
            builtinOptions=options,
        )

    def set_version(self, operator: schema.OperatorT, version: int) -> None:
        """Sets the version of an operator. A runtime reads it to know whether it can run the operator."""
        operator.opcodeIndex = self._opcode(self.code(operator), version)

    def pack(self) -> bytes:
        """The model as the bytes of a file."""
        starts = self._starts_outside()
        content = self._packed({**starts, **{part: starts[whole] + at for part, (whole, at) in self.views.items()}})
        for buffer, start in starts.items():
            content += bytes(start - len(content)) + self.buffers[buffer].tobytes()
        return bytes(content)

    def _starts_outside(self) -> dict[int, int]:
        """For each table that others are parts of: where in the file it begins, behind everything else."""
        outside = dict.fromkeys(whole for whole, _ in self.views.values())
        # Every place will do to learn how long the part in front of the tables is.
        end = len(self._packed(dict.fromkeys((*outside, *self.views), 1))) if outside else 0
        starts = {}
        for buffer in outside:
            starts[buffer] = -(-end // ALIGNMENT) * ALIGNMENT
            end = starts[buffer] + len(self.buffers[buffer])
        return starts

    def _packed(self, places: Mapping[int, int]) -> bytearray:
        for index, (buffer, data) in enumerate(zip(self._model.buffers, self.buffers, strict=True)):
            _place(buffer, data, places.get(index))
        # There is room for all, because a builder that has too little starts anew with twice as much.
        inside = [len(buffer.data) for buffer in self._model.buffers if buffer.data is not None]
        builder = flatbuffers.Builder(2**20 + sum(inside))
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return builder.Output()

    def _opcode(self, code: int, version: int) -> int:
        for index, known in enumerate(self._model.operatorCodes):
            if (_code(known), known.version) == (code, version):
                return index
        # A code that does not fit into the older, shorter field has a placeholder there.
        short = min(code, Op.PLACEHOLDER_FOR_GREATER_OP_CODES)
        made = schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=short, version=version)
        self._model.operatorCodes.append(made)
        return len(self._model.operatorCodes) - 1

    def _share_the_empty_buffer(self) -> None:
        """Gives all tensors that are no constants the first buffer, which is always empty."""
        kept = [0, *(index for index, data in enumerate(self.buffers) if len(data))]
        places = {index: place for place, index in enumerate(kept)}
        for described in [*self._tensors, *(self._model.metadata or [])]:
            described.buffer = places.get(described.buffer, 0)
        self.buffers = [self.buffers[index] for index in kept]
        self._model.buffers = [schema.BufferT() for _ in kept]

    def _row_widths(self) -> dict[int, int]:
        """The numbers of a row of each buffer worth quantizing. Tables of other rows get a buffer of their own."""
        widths: dict[int, int] = {}
        for tensor in filter(self._is_large, self._tensors):
            # Tables of other rows can happen to be made of the same bytes.
            if widths.setdefault(tensor.buffer, int(tensor.shape[-1])) != tensor.shape[-1]:
                tensor.buffer = self.add_buffer(self.buffers[tensor.buffer])
                widths[tensor.buffer] = int(tensor.shape[-1])
        return widths

    def _is_layer(self, buffer: int, width: int) -> bool:
        is_small = len(self.buffers[self.root(buffer)]) <= 4 * width * MOST_UNITS
        return is_small and all(self._uses[self.root(buffer)])

    def _is_large(self, tensor: schema.TensorT) -> bool:
        data = self.buffers[tensor.buffer]
        is_matrix = tensor.shape is not None and len(tensor.shape) > 1 and tensor.shape[-1] > 1
        return bool(is_matrix and tensor.type == Kind.FLOAT32 and len(data) >= 4 * LEAST_NUMBERS)

    @cached_property
    def _uses(self) -> dict[int, list[bool]]:
        """For every use of each table: whether it is as the matrix of a layer. A use of a part is one of the whole."""
        uses: dict[int, list[bool]] = defaultdict(list)
        for graph in self.graphs:
            for operator in graph.operators:
                is_product = self.code(operator) == Op.FULLY_CONNECTED
                for position, tensor in enumerate(operator.inputs):
                    # An input of -1 is left out.
                    buffer = graph.tensors[tensor].buffer if tensor >= 0 else 0
                    uses[self.root(buffer)].append(is_product and position == 1)
        return uses


def _place(buffer: schema.BufferT, data: np.ndarray, outside: int | None) -> None:
    """Puts the bytes of a buffer into it, or where in the file they are outside of it."""
    buffer.data = None if outside is not None or not len(data) else data
    buffer.offset, buffer.size = (0, 0) if outside is None else (outside, len(data))


def _drop_notes(graph: schema.SubGraphT) -> None:
    """Removes the names and other notes of tensors between inputs and outputs, larger than a small table together."""
    for index in set(range(len(graph.tensors))).difference(graph.inputs, graph.outputs):
        tensor = graph.tensors[index]
        tensor.name = tensor.shapeSignature = tensor.quantization = None


def _code(known: schema.OperatorCodeT) -> int:
    return max(known.builtinCode, known.deprecatedBuiltinCode)


def _bytes(buffer: schema.BufferT, content: np.ndarray) -> np.ndarray:
    if buffer.offset:
        return content[buffer.offset : buffer.offset + buffer.size]
    return np.asarray([] if buffer.data is None else buffer.data, np.uint8)
