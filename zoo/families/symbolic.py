"""Helpers for the symbolic tensors that families are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import ops

if TYPE_CHECKING:
    from zoo.types import Tensor


def sources(tensors: Sequence[keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """The named inputs that symbolic tensors were made from."""
    return {source.name: source for tensor in tensors for source in keras.utils.get_source_inputs(tensor)}


def listed(tensors: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """One tensor or several, as a list."""
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def float32(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """The tensor in float32."""
    return tensor if tensor.dtype == "float32" else ops.cast(tensor, "float32")
