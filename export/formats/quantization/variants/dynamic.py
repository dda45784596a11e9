"""The variant `dynamic`: weights of 8 bits with a scale a row.

A matrix product rounds its other factor to 8 bits when it runs, with a scale found at that moment, and gives 32-bit
floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.formats.quantization import VARIANTS
from export.formats.quantization.base import Sample, Variant

if TYPE_CHECKING:
    from export.formats.quantization.network import Network


def _rewrite(network: Network, content: bytes, sample: Sample) -> None:
    from export.formats.quantization.weights import quantize_weights, round_tables

    rounded = round_tables(network)
    for graph in network.graphs:
        quantize_weights(network, graph, rounded)
        network.drop_unread(graph)


VARIANTS.register(Variant("dynamic", "8-bit weights", _rewrite))
