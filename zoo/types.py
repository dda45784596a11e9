"""Types that signatures share. For annotations only: import it under `TYPE_CHECKING`, for it imports TensorFlow."""

from __future__ import annotations

from typing import TypeAlias

import keras
import tensorflow as tf

# A tensor in a graph, or a symbolic one of a Keras Functional model.
Tensor: TypeAlias = tf.Tensor | keras.KerasTensor
# A size of `None` is any size.
Shape: TypeAlias = tuple[int | None, ...]
