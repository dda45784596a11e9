"""Layers that take and give 8-bit numbers, whose ranges are measured on a sample."""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from export.formats.quantization.base import Sample
from export.formats.quantization.network import Kind, Network, Op, Quantization
from zoo.errors import UserError

# How many examples of a sample are measured.
EXAMPLES = 100

# These operators may pass 8-bit numbers as they are.
MOVES = {Op.RESHAPE, Op.SQUEEZE, Op.EXPAND_DIMS}
# These tell numbers apart that 256 levels would make equal.
COMPARISONS = {Op.LESS, Op.LESS_EQUAL, Op.GREATER, Op.GREATER_EQUAL, Op.EQUAL, Op.NOT_EQUAL, Op.TOPK_V2}
# Behind these comes another layer, or only the shape of their input is read.
STOPS = {Op.FULLY_CONNECTED, Op.SHAPE, Op.ZEROS_LIKE}


@dataclasses.dataclass
class Range:
    """The least and the largest of the numbers seen so far, and of 0."""

    least: float = 0.0
    largest: float = 0.0

    def widen(self, numbers: np.ndarray) -> None:
        """Makes the range hold more numbers."""
        self.least = min(self.least, float(numbers.min(initial=0.0)))
        self.largest = max(self.largest, float(numbers.max(initial=0.0)))

    @property
    def quantization(self) -> Quantization:
        """The scale and the zero of 8-bit numbers over the range."""
        scale = max(self.largest - self.least, 1e-9) / 255
        return Quantization(scale, round(-128 - self.least / scale))


@dataclasses.dataclass
class LayerRanges:
    """The ranges of the numbers that a layer takes and of those that it gives."""

    taken: Range = dataclasses.field(default_factory=Range)
    given: Range = dataclasses.field(default_factory=Range)


def hidden_layers(network: Network) -> set[int]:
    """The matrices of hidden layers. On every way from such a layer to an endpoint's output comes another layer."""
    hidden: set[int] = set()
    last: set[int] = set()
    for graph in network.graphs:
        readers = _readers(graph)
        for buffer, operator in _layers(network, graph):
            (last if _ends(network, graph, readers, operator.outputs[0]) else hidden).add(buffer)
    return hidden - last


def measure(content: bytes, network: Network, layers: set[int], sample: Sample) -> dict[int, LayerRanges]:
    """The ranges of what each layer takes and gives over a sample, by the buffer of its matrix.

    Args:
        content: The float model.
        network: The same model.
        layers: The matrices of the layers to measure.
        sample: The inputs of each signature.

    Raises:
        UserError: If the sample has no inputs for the signatures in which a layer is.
    """
    ranges: dict[int, LayerRanges] = defaultdict(LayerRanges)
    if not layers:
        return ranges
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    for name, index in network.signatures.items():
        measured = [(buffer, layer) for buffer, layer in _layers(network, network.graphs[index]) if buffer in layers]
        runs = _runs(interpreter, name, sample[name]) if name in sample and measured else ()
        for _ in runs:
            _widen(ranges, measured, interpreter, index)
    if layers.difference(ranges):
        raise UserError(
            f"The sample for int8 lacks endpoints, so layers are left without ranges. Received: {sorted(sample)}. "
            f"Give a sample of every endpoint: {sorted(network.signatures)}."
        )
    return ranges


def quantize_activations(network: Network, graph: schema.SubGraphT, ranges: Mapping[int, LayerRanges]) -> None:
    """Makes the measured layers of a graph take and give 8-bit numbers.

    Args:
        network: The model, whose weights are 8-bit numbers already.
        graph: One of its graphs.
        ranges: What `measure` gave.
    """
    # The 8-bit tensor that stands beside each float one.
    eights: dict[int, int] = {}
    operators: list[schema.OperatorT] = []
    for operator in graph.operators:
        buffer = network.layer(graph, operator)
        if buffer is not None and buffer in ranges:
            operators += _with_rounded_activations(network, graph, operator, eights, ranges[buffer])
        elif network.code(operator) in MOVES and operator.inputs[0] in eights:
            operators += [operator, _moved(network, graph, operator, eights)]
        else:
            operators.append(operator)
    graph.operators = operators


def _layers(network: Network, graph: schema.SubGraphT) -> Iterator[tuple[int, schema.OperatorT]]:
    """The layers of a graph: the buffer of each one's matrix, and its operator."""
    for operator in graph.operators:
        buffer = network.layer(graph, operator)
        if buffer is not None:
            yield buffer, operator


def _readers(graph: schema.SubGraphT) -> Mapping[int, list[schema.OperatorT]]:
    """The operators that read each tensor."""
    readers: dict[int, list[schema.OperatorT]] = defaultdict(list)
    for operator in graph.operators:
        for tensor in operator.inputs:
            readers[tensor].append(operator)
    return readers


def _ends(
    network: Network, graph: schema.SubGraphT, readers: Mapping[int, list[schema.OperatorT]], tensor: int
) -> bool:
    """Whether a tensor reaches an output or a comparison without a layer in between."""
    reached, left = {tensor}, [tensor]
    while left:
        current = left.pop()
        if current in graph.outputs or COMPARISONS.intersection(map(network.code, readers[current])):
            return True
        outputs = {output for reader in readers[current] for output in _passed_on(network, reader)}
        left += outputs - reached
        reached |= outputs
    return False


def _passed_on(network: Network, operator: schema.OperatorT) -> Sequence[int]:
    """The results of an operator, if it hands the numbers on that it reads."""
    return () if network.code(operator) in STOPS else operator.outputs


def _widen(
    ranges: Mapping[int, LayerRanges], layers: list[tuple[int, schema.OperatorT]], interpreter: Interpreter, graph: int
) -> None:
    """Makes the ranges hold what layers took and gave in the last run of a graph."""
    for buffer, layer in layers:
        ranges[buffer].taken.widen(interpreter.get_tensor(layer.inputs[0], graph))
        ranges[buffer].given.widen(interpreter.get_tensor(layer.outputs[0], graph))


def _runs(interpreter: Interpreter, signature: str, inputs: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Runs a signature on examples, one at a time, or as many at a time as it takes."""
    runner = interpreter.get_signature_runner(signature)
    size = max(1, *(int(detail["shape_signature"][0]) for detail in runner.get_input_details().values()))
    examples = min(EXAMPLES, len(next(iter(inputs.values()))))
    for start in range(0, examples, size):
        # The last batch is filled up with the first examples.
        rows = np.arange(start, start + size) % examples
        runner(**{name: values[rows] for name, values in inputs.items()})
        yield


def _with_rounded_activations(
    network: Network, graph: schema.SubGraphT, operator: schema.OperatorT, eights: dict[int, int], ranges: LayerRanges
) -> list[schema.OperatorT]:
    """A layer of 8-bit numbers, between the operators that make them from floats and floats from them."""
    (value, matrix, *bias), (output,) = operator.inputs, operator.outputs
    made: list[schema.OperatorT] = []
    if value not in eights:
        eights[value] = network.add_tensor(graph, value, Kind.INT8, quantization=ranges.taken.quantization)
        made.append(network.make(Op.QUANTIZE, 1, [value], eights[value], schema.QuantizeOptionsT()))
    eights[output] = network.add_tensor(graph, output, Kind.INT8, quantization=ranges.given.quantization)
    operator.inputs, operator.outputs = [eights[value], matrix, *bias], [eights[output]]
    if bias and bias[0] >= 0:
        # The layer adds up whole numbers, whose scale is the product of both scales.
        scale = graph.tensors[eights[value]].quantization.scale * graph.tensors[matrix].quantization.scale
        whole = network.add_buffer(np.round(network.floats(graph.tensors[bias[0]].buffer) / scale).astype(np.int32))
        operator.inputs[2] = network.add_tensor(
            graph, bias[0], Kind.INT32, buffer=whole, quantization=Quantization(scale)
        )
    return [*made, operator, network.make(Op.DEQUANTIZE, 2, [eights[output]], output, schema.DequantizeOptionsT())]


def _moved(
    network: Network, graph: schema.SubGraphT, operator: schema.OperatorT, eights: dict[int, int]
) -> schema.OperatorT:
    """A copy, over 8-bit numbers, of an operator that only moves numbers."""
    (value, *others), (output,) = operator.inputs, operator.outputs
    moved = copy.copy(operator)
    quantization = graph.tensors[eights[value]].quantization
    eights[output] = network.add_tensor(graph, output, Kind.INT8, quantization=quantization)
    moved.inputs, moved.outputs = [eights[value], *others], [eights[output]]
    return moved
