"""Layers by which closed forms read a history, so that they serve users who arrive after training too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers, ops

from zoo.layers.basic import Embedding, MultiHot, without_padding
from zoo.memory import check_memory
from zoo.schema import FIRST_KNOWN, PADDING, Schema
from zoo.solvers.least_squares import conjugate_gradients, gram_axes

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# The fold-in's largest error, as a share of the exact vector, whatever the history.
FOLD_IN_ERROR = 1e-5

# Histories up to this length are compared event by event. Longer ones are counted over the catalogue.
LONGEST_COMPARED = 256


def largest_label(schema: Schema) -> float:
    """The largest label: 1 where labels say whether a rating is above a threshold, else the largest rating."""
    rating = schema["history_rating"]
    return rating.std if rating.threshold is None else 1.0


def event_labels(schema: Schema) -> Tensor:
    """The labels of the events of the history, as training has them; 0 for padding.

    Args:
        schema: The schema of the data.

    Returns:
        `[batch, length]` symbolic labels.
    """
    feature, ratings = schema["history_rating"], schema.input("history_rating")
    labels = ratings * feature.std if feature.threshold is None else ops.cast(ratings > 0, "float32")
    return labels * ops.cast(schema.input("history") != PADDING, "float32")


def liked_events(schema: Schema) -> Tensor:
    """Which events of the history are known items with a rating above 0.

    Args:
        schema: The schema of the data.

    Returns:
        `[batch, length]` symbolic zeros and ones.
    """
    is_liked = ops.logical_and(schema.input("history_rating") > 0, schema.input("history") >= FIRST_KNOWN)
    return ops.cast(is_liked, "float32")


def liked_items(schema: Schema) -> Tensor:
    """The history as a vector over the catalogue: 1 for items with a rating above 0, however often they were seen.

    Args:
        schema: The schema of the data.

    Returns:
        `[batch, num_items]` symbolic zeros and ones; columns of padding and unknown are 0.
    """
    times = MultiHot(schema.size("item"))(schema.input("history"), liked_events(schema))
    return ops.minimum(times, 1.0)


def each_once(schema: Schema, counts: Tensor | None = None) -> Tensor:
    """What each event of the history counts, so that a known item counts 1 however often it was seen.

    Args:
        schema: The schema of the data.
        counts: `[batch, length]` zeros and ones, which events count; by default all of known items.

    Returns:
        `[batch, length]` symbolic numbers from 0 to 1.
    """
    history = schema.input("history")
    if counts is None:
        counts = ops.cast(history >= FIRST_KNOWN, "float32")
    if history.shape[1] <= LONGEST_COMPARED:
        is_same = ops.cast(ops.equal(history[:, :, None], history[:, None, :]), "float32")
        times = ops.matmul(is_same, counts[..., None])[..., 0]
    else:
        times = ops.take_along_axis(MultiHot(schema.size("item"))(history, counts), history, axis=1)
    return counts / ops.maximum(times, 1.0)


def each_liked_once(schema: Schema) -> Tensor:
    """`each_once` of the liked events.

    Args:
        schema: The schema of the data.

    Returns:
        `[batch, length]` symbolic numbers from 0 to 1.
    """
    return each_once(schema, liked_events(schema))


def item_to_item(
    num_items: int,
    otherwise: str = "Leave out rare items, or choose an architecture that keeps few weights an item, e.g. slim, or "
    "item vectors, e.g. ials.",
) -> layers.Dense:
    """A matrix from what was liked to scores, `[batch, num_items]` to `[batch, num_items]`, set in closed form.

    Args:
        num_items: Rows of the item table, padding and unknown included.
        otherwise: What to do where it does not fit into memory.

    Returns:
        A layer without bias whose kernel is zeros.

    Raises:
        UserError: If the kernel does not fit into memory.
    """
    check_memory(
        f"A weight for every two of {num_items:,} items",
        4 * num_items**2,
        otherwise,
    )
    return layers.Dense(num_items, use_bias=False, kernel_initializer="zeros", trainable=False)


# Not registered with Keras, because its config would hold a function and a layer. `keras.Model.save` needs no config
# of it: a saved model is its recipe, which builds the architecture with all of its layers again.
class LeastSquaresFoldIn(keras.layers.Layer):
    """The vector of a user from the items that the user liked, by weighted least squares.

    With `V` the item vectors and `L` those of the liked items, the user's vector `x` solves
    `(L'L + unobserved_weight * V'V + ridge * I) x = L'1` (Hu, Koren, Volinsky, 2008). No format but
    TensorFlow's own can solve a system, so this takes steps of conjugate gradients, which are matrix
    products. `set` makes `V'V` diagonal, which changes no score: then the system without `L'L` is
    diagonal and serves as the preconditioner. As `L'L` is a part of `V'V`, the preconditioned system
    has a condition number of at most `1 + 1 / unobserved_weight`, which says how many steps are
    enough for every history.

    Args:
        item_vectors: The item vectors.
        unobserved_weight: Weight of the items that were not liked, above 0.
        ridge: Regularization, given the `[batch, 1]` numbers of liked items.
        steps: Steps, if fewer are known to be enough.
    """

    def __init__(
        self,
        item_vectors: Embedding,
        unobserved_weight: float,
        ridge: Callable[[Tensor], Tensor],
        steps: int | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.item_vectors = item_vectors
        self.weigh(unobserved_weight, ridge, steps)

    def weigh(self, unobserved_weight: float, ridge: Callable[[Tensor], Tensor], steps: int | None = None) -> None:
        """Changes what is given when the layer is made, as an architecture does that derives it from the data."""
        self.unobserved_weight, self.ridge = unobserved_weight, ridge
        root = math.sqrt(1 + 1 / unobserved_weight)
        enough = math.ceil(math.log(2 / FOLD_IN_ERROR) / math.log((root + 1) / (root - 1)))
        # Exact after `dim` steps, were it not for rounding.
        self.steps = min(enough, 2 * self.item_vectors.dim, enough if steps is None else steps)

    def build(self, *_: Shape) -> None:
        """Builds the item vectors, if nothing did before, and makes room for the diagonal of `V'V`."""
        if not self.item_vectors.built:
            self.item_vectors.build(None)
        # Stored, because runtimes add up the rows of a large catalogue in orders of their own. What they lose differs.
        self.gram = self.add_weight(
            name="gram", shape=(self.item_vectors.dim,), initializer="zeros", trainable=False, autocast=False
        )

    def set(self, item_vectors: np.ndarray) -> None:
        """Sets the item vectors, `[num_items, dim]`, turned into axes in which `V'V` is diagonal."""
        if not self.built:
            self.build()
        turned = item_vectors.astype(np.float64) @ gram_axes(item_vectors)
        self.item_vectors.set_weights([turned])
        self.gram.assign(np.square(turned).sum(axis=0))

    def call(self, items: Tensor, liked: Tensor) -> Tensor:
        """`[batch, length]` items and zeros or ones to `[batch, dim]` user vectors; zeros where nothing is liked."""
        length = items.shape[1]
        items, liked = without_padding(items, liked)
        vectors = ops.convert_to_tensor(self.item_vectors.embeddings)
        times = MultiHot(self.item_vectors.rows)(items, liked)
        # Every step reads the histories or the whole catalogue, whichever is smaller.
        if length < self.item_vectors.rows // 8:
            events = self.item_vectors(items)
            weights = liked / ops.maximum(ops.take_along_axis(times, items, axis=1), 1.0)

            def spread(users: Tensor) -> Tensor:
                return ops.matmul(events, users[..., None])[..., 0]

            def gather(values: Tensor) -> Tensor:
                return ops.matmul(values[:, None], events)[:, 0]

        else:
            weights = ops.minimum(times, 1.0)

            def spread(users: Tensor) -> Tensor:
                return ops.matmul(users, ops.transpose(vectors))

            def gather(values: Tensor) -> Tensor:
                return ops.matmul(values, vectors)

        diagonal = self.unobserved_weight * self.gram + self.ridge(ops.sum(weights, axis=1, keepdims=True))
        target = gather(weights)
        return conjugate_gradients(
            ops.zeros_like(target),
            target,
            diagonal,
            lambda x: diagonal * x + gather(weights * spread(x)),
            self.steps,
            dot=lambda x, y: ops.sum(x * y, axis=1, keepdims=True),
        )
