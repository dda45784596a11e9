"""What a variant of a TFLite file is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from export.formats.quantization.network import Network

# The inputs of each signature by name, `[examples, ...]`.
Sample: TypeAlias = Mapping[str, Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A smaller variant of a float TFLite file.

    Args:
        name: The name it is asked for by.
        title: What it is, in a few words.
        rewrite: Changes the model, given as objects and as bytes, with a sample of inputs.
        needs_sample: Whether it measures something on the sample.
    """

    name: str
    title: str
    rewrite: Callable[[Network, bytes, Sample], None]
    needs_sample: bool = False
