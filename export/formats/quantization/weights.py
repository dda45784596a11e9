"""Weights as 16-bit and as 8-bit numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.formats.quantization.network import Kind, Network, Op, Quantization

NO_ACTIVATION = schema.ActivationFunctionType.NONE


def halve(network: Network) -> None:
    """Makes tables 16-bit numbers. Where they are read, an operator makes them 32-bit ones."""
    for graph in network.graphs:
        _widen_tables(network, graph)
    for buffer in network.tables:
        network.buffers[buffer] = network.floats(buffer).astype(np.float16).view(np.uint8)
    network.views = {part: (whole, at // 2) for part, (whole, at) in network.views.items()}


def _widen_tables(network: Network, graph: schema.SubGraphT) -> None:
    """Makes the tables of a graph 16-bit tensors, and lets its operators read 32-bit ones made from them."""
    made: dict[int, int] = {}
    for tensor in network.tables_in(graph):
        made[tensor] = network.add_tensor(graph, tensor, Kind.FLOAT32)
        graph.tensors[tensor].type = Kind.FLOAT16
    for operator in graph.operators:
        operator.inputs = [made.get(tensor, tensor) for tensor in operator.inputs]
    widened = [network.make(Op.DEQUANTIZE, 3, [t], m, schema.DequantizeOptionsT()) for t, m in made.items()]
    graph.operators = [*widened, *graph.operators]


@dataclasses.dataclass(frozen=True)
class Rounded:
    """How an 8-bit table is turned back into floats.

    Args:
        quantization: The scale of each row, where the table is the matrix of a layer. Else the scale of the table.
        shares: The buffer of 16-bit floats, one a row, whose products with the scale of the table are the scales of
            its rows. `None` for the matrix of a layer.
    """

    quantization: Quantization
    shares: int | None = None


def round_tables(network: Network) -> dict[int, Rounded]:
    """Makes tables 8-bit numbers, and gives for the buffer of each how it is turned back into floats."""
    rounded: dict[int, Rounded] = {}
    roots = {network.root(buffer) for buffer in network.tables}
    largest = {root: max(float(np.abs(network.floats(root)).max()), 1e-30) / 127 for root in roots}
    places = {}
    for buffer, table in network.tables.items():
        numbers = network.floats(buffer).reshape(-1, table.width)
        scales = np.maximum(np.abs(numbers).max(axis=1), 1e-30) / 127
        if table.is_layer:
            rounded[buffer] = Rounded(Quantization(scales))
        else:
            whole = largest[network.root(buffer)]
            # Rounded up, so that no number is beyond 127.
            shares = np.nextafter((scales / whole).astype(np.float16), np.float16(2))
            scales = whole * shares.astype(np.float32)
            places[buffer] = network.add_buffer(shares)
            rounded[buffer] = Rounded(Quantization(whole), places[buffer])
        network.buffers[buffer] = np.round(numbers / scales[:, None]).astype(np.int8).view(np.uint8).ravel()
    _move_parts(network, places)
    return rounded


def _move_parts(network: Network, places: Mapping[int, int]) -> None:
    """Makes a part begin where it does among 8-bit numbers, and its shares a part of those of the whole table.

    Args:
        network: The model, whose tables are 8-bit numbers now.
        places: For each table the buffer of its shares.
    """
    for part, (root, at) in list(network.views.items()):
        network.views[part] = (root, at // 4)
        if part in places:
            network.views[places[part]] = (places[root], at // 2 // network.tables[part].width)


def quantize_weights(network: Network, graph: schema.SubGraphT, rounded: Mapping[int, Rounded]) -> None:
    """Rewrites the operators of a graph that read tables.

    Args:
        network: The model, whose tables are 8-bit numbers now.
        graph: One of its graphs.
        rounded: What `round_tables` gave.
    """
    # For each table that is no layer the tensor of its shares, a column beside its rows.
    columns: dict[int, int] = {}
    widened = []
    for tensor in network.tables_in(graph):
        described = graph.tensors[tensor]
        found = rounded[described.buffer]
        described.type, described.quantization = Kind.INT8, found.quantization
        if found.shares is not None:
            shape = [*described.shape[:-1], 1]
            halves = network.add_tensor(graph, tensor, Kind.FLOAT16, buffer=found.shares, shape=shape)
            columns[tensor] = network.add_tensor(graph, halves, Kind.FLOAT32)
            widened.append(network.make(Op.DEQUANTIZE, 3, [halves], columns[tensor], schema.DequantizeOptionsT()))
    rewritten = [
        made for operator in graph.operators for made in _with_rounded_weights(network, graph, operator, columns)
    ]
    graph.operators = [*widened, *rewritten]


def _with_rounded_weights(
    network: Network, graph: schema.SubGraphT, operator: schema.OperatorT, columns: Mapping[int, int]
) -> list[schema.OperatorT]:
    """The operators that give with 8-bit tables what one operator gave with float ones."""
    if network.is_product(graph, operator):
        operator.builtinOptions.asymmetricQuantizeInputs = True
        network.set_version(operator, 12)
        column = columns.get(operator.inputs[1])
        return [operator] if column is None else _scaled_product(network, graph, operator, column)
    if network.code(operator) == Op.GATHER and operator.inputs[0] in columns and _takes_rows(operator):
        return _scaled_rows(network, graph, operator, columns[operator.inputs[0]])
    return _with_floats(network, graph, operator, columns)


def _takes_rows(gather: schema.OperatorT) -> bool:
    return (gather.builtinOptions.axis, gather.builtinOptions.batchDims) == (0, 0)


def _with_floats(
    network: Network, graph: schema.SubGraphT, operator: schema.OperatorT, columns: Mapping[int, int]
) -> list[schema.OperatorT]:
    """An operator, behind the operators that turn the tables it reads back into floats."""
    made: list[schema.OperatorT] = []
    for position, tensor in enumerate(operator.inputs):
        if tensor in columns:
            whole = network.add_tensor(graph, tensor, Kind.FLOAT32)
            made += _widened(network, graph, tensor, columns[tensor], whole)
            operator.inputs = [*operator.inputs[:position], whole, *operator.inputs[position + 1 :]]
    return [*made, operator]


def _scaled_product(
    network: Network, graph: schema.SubGraphT, operator: schema.OperatorT, column: int
) -> list[schema.OperatorT]:
    """A product with the 8-bit numbers, then with the scales, then the bias and the activation of the layer."""
    (output,), bias = operator.outputs, [tensor for tensor in operator.inputs[2:] if tensor >= 0]
    activation = operator.builtinOptions.fusedActivationFunction
    operator.builtinOptions.fusedActivationFunction = NO_ACTIVATION
    shape = network.add_tensor(
        graph, column, Kind.INT32, shape=[1], buffer=network.add_buffer(np.array([-1], np.int32))
    )
    scales = network.add_tensor(graph, column, Kind.FLOAT32, shape=graph.tensors[column].shape[:1])
    flat = network.make(Op.RESHAPE, 1, [column, shape], scales, schema.ReshapeOptionsT())
    product, scaled = (network.add_tensor(graph, output, Kind.FLOAT32) for _ in range(2))
    operator.inputs, operator.outputs = [*operator.inputs[:2], -1], [product]
    if not bias:
        return [operator, flat, network.make(Op.MUL, 1, [product, scales], output, schema.MulOptionsT(activation))]
    times = network.make(Op.MUL, 1, [product, scales], scaled, schema.MulOptionsT())
    plus = network.make(Op.ADD, 1, [scaled, *bias], output, schema.AddOptionsT(activation))
    return [operator, flat, times, plus]


def _scaled_rows(
    network: Network, graph: schema.SubGraphT, operator: schema.OperatorT, column: int
) -> list[schema.OperatorT]:
    """Two lookups, of the 8-bit numbers of rows and of their scales, and the product of both."""
    (output,) = operator.outputs
    quantization = graph.tensors[operator.inputs[0]].quantization
    numbers = network.add_tensor(graph, output, Kind.INT8, quantization=quantization)
    scales = network.add_tensor(graph, output, Kind.FLOAT32, shape=[*graph.tensors[output].shape[:-1], 1])
    look_up = network.make(Op.GATHER, 1, [column, operator.inputs[1]], scales, operator.builtinOptions)
    operator.outputs = [numbers]
    network.set_version(operator, 2)
    return [operator, look_up, *_widened(network, graph, numbers, scales, output)]


def _widened(
    network: Network, graph: schema.SubGraphT, numbers: int, scales: int, output: int
) -> list[schema.OperatorT]:
    """The operators that multiply 8-bit numbers by the scale of their row, into 32-bit floats."""
    wide = network.add_tensor(graph, output, Kind.FLOAT32)
    return [
        network.make(Op.DEQUANTIZE, 2, [numbers], wide, schema.DequantizeOptionsT()),
        network.make(Op.MUL, 1, [wide, scales], output, schema.MulOptionsT()),
    ]
