"""What families, solvers and recipes agree on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf

from zoo.schema import FeatureJson

if TYPE_CHECKING:
    from zoo.types import Tensor

# Lists of item indices, of any batch size and any length.
LIST = tf.TensorSpec((None, None), tf.int32)

# Sets the weights from the training interactions, a sparse `[num_users, num_items]` matrix of labels. It gives the
# hparams that it derived from them, by name, if there are any.
Solver: TypeAlias = Callable[[scipy.sparse.csr_matrix], "Mapping[str, object] | None"]
# The numbers that are made of each query beside its scores, `[batch]`, given `[batch, length]` histories.
Work: TypeAlias = Callable[[np.ndarray], np.ndarray]
# Sets the weights from trained recommenders, by the names of their architectures.
Pretrained: TypeAlias = "Callable[[Mapping[str, keras.Model]], None]"
# What `encode_query` gives: one tensor or several, `batch` rows each.
Encoded: TypeAlias = "Tensor | list[Tensor]"


class Recipe(TypedDict):
    """What builds a model again, JSON-ready."""

    name: str
    hparams: dict[str, Any]
    schema: list[FeatureJson]


def derived_notes(before: Mapping[str, object], derived: Mapping[str, object]) -> list[str]:
    """What a solver made of hparams, in words for people.

    Args:
        before: The hparams as they were given.
        derived: Those that the solver gives.

    Example:

    >>> derived_notes({"width": None, "depth": 9, "ridge": 2.0}, {"width": 0.125, "depth": 5, "ridge": 2.0})
    ['Derived from the data: width=0.125, depth=5 (not 9).']
    """
    changed = {name: value for name, value in derived.items() if value != before.get(name)}
    if not changed:
        return []
    words = []
    for name, value in changed.items():
        number = f"{value:.4g}" if isinstance(value, float) else f"{value}"
        words.append(f"{name}={number}" + ("" if before.get(name) is None else f" (not {before[name]})"))
    return [f"Derived from the data: {', '.join(words)}."]
