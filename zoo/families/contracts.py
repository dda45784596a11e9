"""What families, solvers and recipes agree on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import numpy as np
import scipy.sparse
import tensorflow as tf

from zoo.schema import FeatureJson

if TYPE_CHECKING:
    from zoo.families.base import Recommender
    from zoo.types import Tensor

# Lists of item indices, of any batch size and any length.
LIST = tf.TensorSpec((None, None), tf.int32)

# Sets the weights from the training interactions, a sparse `[num_users, num_items]` matrix of labels. It gives the
# hparams that it derived from them, by name, if there are any.
Solver: TypeAlias = Callable[[scipy.sparse.csr_matrix], "Mapping[str, object] | None"]
# The numbers that are made of each query beside its scores, `[batch]`, given `[batch, length]` histories.
Work: TypeAlias = Callable[[np.ndarray], np.ndarray]
# Sets the weights from trained recommenders, by the names of their architectures.
Pretrained: TypeAlias = "Callable[[Mapping[str, Recommender]], None]"
# What `encode_query` gives: one tensor or several, `batch` rows each.
Encoded: TypeAlias = "Tensor | list[Tensor]"


class Recipe(TypedDict):
    """What builds a model again, JSON-ready."""

    name: str
    hparams: dict[str, Any]
    schema: list[FeatureJson]
