"""The variant `int8`: weights of 8 bits, and hidden layers that take and give 8-bit numbers.

The ranges of hidden layers are measured on a sample. A layer stays as in `dynamic` if its result reaches a score, a
vector or a comparison without another layer in between, because 256 levels cannot rank a catalogue. What runs between
layers (norms, softmax, the gates and states of recurrent layers) stays float, because 8 bits would save no time there
and cost much accuracy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.formats.quantization import VARIANTS
from export.formats.quantization.base import Sample, Variant

if TYPE_CHECKING:
    from export.formats.quantization.network import Network


def _rewrite(network: Network, content: bytes, sample: Sample) -> None:
    from export.formats.quantization.activations import hidden_layers, measure, quantize_activations
    from export.formats.quantization.weights import quantize_weights, round_tables

    ranges = measure(content, network, hidden_layers(network), sample)
    rounded = round_tables(network)
    for graph in network.graphs:
        quantize_weights(network, graph, rounded)
        quantize_activations(network, graph, ranges)
        network.drop_unread(graph)


VARIANTS.register(Variant("int8", "8-bit weights and layers", _rewrite, needs_sample=True))
