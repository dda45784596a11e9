"""The variant `float16`: tables of 16-bit numbers. A runtime makes them 32-bit ones when it loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.formats.quantization import VARIANTS
from export.formats.quantization.base import Sample, Variant

if TYPE_CHECKING:
    from export.formats.quantization.network import Network


def _rewrite(network: Network, content: bytes, sample: Sample) -> None:
    from export.formats.quantization.weights import halve

    halve(network)


VARIANTS.register(Variant("float16", "16-bit weights", _rewrite))
