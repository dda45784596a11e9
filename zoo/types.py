"""Types that signatures share. Import it only under `TYPE_CHECKING`, because it imports TensorFlow."""

from __future__ import annotations

from typing import TypeAlias

import keras
import tensorflow as tf

# A tensor in a graph, or a symbolic one of a Keras Functional model.
Tensor: TypeAlias = tf.Tensor | keras.KerasTensor
# A size of `None` is any size.
Shape: TypeAlias = tuple[int | None, ...]
