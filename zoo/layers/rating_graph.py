"""The graph of who rated what how, with relations of its own for every level of the rating (GC-MC, 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from scipy.sparse import coo_matrix, csr_matrix

from zoo.errors import UserError
from zoo.layers.basic import Dropout, Embedding
from zoo.layers.data import DataLayer, Source
from zoo.layers.derived import DerivedLayer
from zoo.layers.graph import Edges, OnceAGraph

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# A number beyond every rating, which every format has.
BEYOND = 1e30
# The logit of a level that the data do not have. Its share is exactly 0.
NO_LEVEL = -1e9


@keras.saving.register_keras_serializable("recozoo")
class RatingGraph(DataLayer[csr_matrix]):
    """Users and items with an edge for every rating, and the levels that the ratings of the training data have.

    A scale with holes has fewer levels than it could. Places without a level are never reached.

    Args:
        num_users: Rows of the user table, padding and unknown included.
        num_items: Rows of the item table, likewise.
        most_levels: How many levels there is room for.
        **kwargs: Those of a Keras layer.

    Example:

    >>> graph = RatingGraph(num_users=3, num_items=4, most_levels=3)
    >>> graph.adapt(csr_matrix(([5.0, 2.5], ([2, 2], [2, 3])), shape=(3, 4)))
    >>> graph.values.numpy().tolist(), graph.levels_of(tf.constant([2.4, 5.0])).numpy().tolist()
    ([2.5, 5.0, 0.0], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    """

    source: ClassVar[Source] = "ratings"

    def __init__(self, num_users: int, num_items: int, most_levels: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_users, self.num_items, self.most_levels = num_users, num_items, most_levels
        fixed = {"trainable": False, "autocast": False}
        sizes = {"values": most_levels, "is_level": most_levels, "user_counts": num_users, "item_counts": num_items}
        for name, size in sizes.items():
            setattr(self, name, self.add_weight(name=name, shape=(size,), initializer="zeros", **fixed))
        # A rating is of a level if it lies above the lower and at most at the upper border.
        self.borders = self.add_weight(
            name="borders", shape=(2, most_levels), initializer=keras.initializers.Constant(BEYOND), **fixed
        )
        self.edges = self._edges(csr_matrix((num_users, num_items), dtype=np.float32), np.zeros(0, np.int64))
        self.built = True

    def adapt(self, data: csr_matrix) -> None:
        """Puts the ratings into the graph.

        Args:
            data: `[num_users, num_items]` ratings; what is stored is one, zeros too.

        Raises:
            UserError: If there are more levels than there is room for.
        """
        values, levels = np.unique(data.data, return_inverse=True)
        if len(values) > self.most_levels:
            raise UserError(
                f"The training data have {len(values)} different ratings, and there is room for {self.most_levels} "
                f"levels. Set hparams.most_levels={len(values)}, round the ratings, or choose an architecture that "
                "regresses them, e.g. svd with hparams.biases=true."
            )
        missing = self.most_levels - len(values)
        between = (values[1:] + values[:-1]) / 2
        self.values.assign(np.pad(values, (0, missing)))
        self.is_level.assign(np.pad(np.ones(len(values)), (0, missing)))
        ends = [-BEYOND] if len(values) else []
        self.borders.assign(
            [
                np.pad([*ends, *between], (0, missing), constant_values=BEYOND),
                np.pad([*between, *np.negative(ends)], (0, missing), constant_values=BEYOND),
            ]
        )
        self.user_counts.assign(np.diff(data.tocsr().indptr))
        self.item_counts.assign(np.diff(data.tocsc().indptr))
        self.edges = self._edges(data, levels)

    def _edges(self, ratings: csr_matrix, levels: np.ndarray) -> Edges:
        """A user and an item are as many nodes as there are levels, one for each."""
        ratings, most = ratings.tocoo(), self.most_levels
        places = ratings.row * most + levels, ratings.col * most + levels
        shape = self.num_users * most, self.num_items * most
        return Edges(coo_matrix((np.ones(len(levels), np.float32), places), shape).tocsr())

    def levels_of(self, ratings: Tensor) -> Tensor:
        """`[...]` ratings to a 1 at their levels, `[..., most_levels]`."""
        lower, upper = self.borders[0], self.borders[1]
        ratings = ratings[..., None]
        return ops.cast(ops.logical_and(ratings > lower, ratings <= upper), "float32")

    def to_users(self, items: Tensor) -> Tensor:
        """`[num_items, most_levels * units]` to the mean that each user receives, level by level, of this width."""
        return self._mean(self.edges.to_rows, items, self.user_counts)

    def to_items(self, users: Tensor) -> Tensor:
        """`[num_users, most_levels * units]` to the mean that each item receives, level by level, of this width."""
        return self._mean(self.edges.to_columns, users, self.item_counts)

    def _mean(self, along: Callable[[Tensor], Tensor], sent: Tensor, counts: Tensor) -> Tensor:
        width = sent.shape[-1]
        sums = tf.reshape(along(tf.reshape(sent, [-1, width // self.most_levels])), [-1, width])
        return tf.math.divide_no_nan(sums, tf.convert_to_tensor(counts)[:, None])


# Not registered with Keras, because its config would hold a layer. `keras.Model.save` needs no config of it: a saved
# model is its recipe, which builds the architecture with all of its layers again.
class RatingConvolution(DerivedLayer):
    """Vectors of users and items from one message a rating, which depends on who sends it and on the level.

    What a node receives is the mean over its ratings, the levels side by side; ReLU and a linear layer follow. A user
    without ratings in training receives what the items of the history send.

    Args:
        graph: Who rated what how.
        units: Width of a message.
        dim: Width of the vectors.
        dropout: Share of nodes whose messages are left out in training, and of units before the linear layer.
        **kwargs: Those of a Keras layer.
    """

    def __init__(self, graph: RatingGraph, units: int, dim: int, dropout: float, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.graph, self.units, self.dim, width = graph, units, dim, graph.most_levels * units
        stddev = (2 / (graph.num_users + graph.num_items + units)) ** 0.5
        self.users, self.items = (
            Embedding(rows, width, stddev=stddev, name=f"sent_by_{of}")
            for of, rows in (("users", graph.num_users), ("items", graph.num_items))
        )
        self.of_nodes, self.of_units = (Dropout(dropout, dtype="float32") for _ in range(2))
        self.to_user, self.to_item = (
            layers.Dense(dim, use_bias=False, dtype="float32", name=f"to_{of}") for of in ("user", "item")
        )
        self.in_training = OnceAGraph(lambda: self.convolve(training=True))

    def build(self, *_: Shape) -> None:
        """Makes the tables of final vectors, and builds the layers."""
        self.users.build(None)
        self.items.build(None)
        for linear in (self.to_user, self.to_item):
            linear.build((None, self.graph.most_levels * self.units))
        sizes = {"user_vectors": (self.users.rows, self.dim), "item_vectors": (self.items.rows, self.dim)}
        for name, shape in {**sizes, "is_new": (self.users.rows, 1)}.items():
            value = "ones" if name == "is_new" else "zeros"
            table = self.add_weight(name=name, shape=shape, initializer=value, trainable=False, autocast=False)
            setattr(self, name, table)

    def convolve(self, training: bool = False) -> list[Tensor]:
        """The vectors of all users and of all items."""
        users, items = (
            self.of_nodes(tf.ones((table.rows, 1)), training=training) * tf.convert_to_tensor(table.embeddings.value)
            for table in (self.users, self.items)
        )
        return [
            self.to_user(self._hidden(self.graph.to_users(items), training)),
            self.to_item(self._hidden(self.graph.to_items(users), training)),
        ]

    def _hidden(self, received: Tensor, training: bool = False) -> Tensor:
        return self.of_units(ops.relu(received), training=training)

    def derive(self) -> None:
        """Convolves, and keeps the vectors."""
        users, items = self.convolve()
        is_new = tf.cast(self.graph.user_counts.value == 0, tf.float32)[:, None]
        self.user_vectors.assign((1 - is_new) * users)
        self.is_new.assign(is_new)
        self.item_vectors.assign(items)

    def call(self, users: Tensor, history: Tensor, ratings: Tensor, counts: Tensor, training: bool = False) -> Tensor:
        """Vectors of users.

        Args:
            users: `[batch]` users.
            history: `[batch, length]` items.
            ratings: `[batch, length]` ratings of them.
            counts: `[batch, length]` what each of them counts.
            training: Whether the vectors follow from the weights as they are now.

        Returns:
            `[batch, dim]` vectors.
        """
        if training:
            return tf.gather(self.in_training()[0], users)
        vectors = ops.take(self.user_vectors, users, axis=0)
        return vectors + ops.take(self.is_new, users, axis=0) * self.fold_in(history, ratings, counts)

    def compute_output_shape(self, users_shape: Shape, *_: Shape) -> Shape:
        """A vector for each user. Keras cannot tell by itself, because it takes masked ratings for sparse tensors."""
        return (*users_shape, self.dim)

    def fold_in(self, history: Tensor, ratings: Tensor, counts: Tensor) -> Tensor:
        """The vectors of users from their histories; see `call`."""
        shape = -1, history.shape[1], self.graph.most_levels, self.units
        sent = ops.reshape(ops.take(self.items.embeddings, history, axis=0), shape)
        weights = (self.graph.levels_of(ratings) * counts[..., None])[..., None]
        received = ops.reshape(ops.sum(sent * weights, axis=1), (-1, shape[2] * shape[3]))
        return self.to_user(self._hidden(received / ops.maximum(ops.sum(counts, axis=1, keepdims=True), 1.0)))


class ConvolvedItems(layers.Layer):
    """Vectors of items of a `RatingConvolution`, which is built before.

    Args:
        convolution: The convolution.
        **kwargs: Those of a Keras layer.
    """

    def __init__(self, convolution: RatingConvolution, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.convolution = convolution

    def call(self, items: Tensor, training: bool = False) -> Tensor:
        """`[n]` items to `[n, dim]` vectors."""
        if training:
            return tf.gather(self.convolution.in_training()[1], items)
        return ops.take(self.convolution.item_vectors, items, axis=0)


class MeanOfLevels(layers.Layer):
    """A rating from a logit for each level: the mean of the levels' values, weighted by their softmax.

    Args:
        graph: Has the levels.
        **kwargs: Those of a Keras layer.
    """

    def __init__(self, graph: RatingGraph, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.graph = graph

    def call(self, logits: Tensor) -> list[Tensor]:
        """`[batch, levels]` logits to `[batch, 1]` ratings, and to the logits and values of the levels that exist."""
        logits = logits + NO_LEVEL * (1.0 - self.graph.is_level)
        rating = ops.sum(ops.softmax(logits, axis=-1) * self.graph.values, axis=-1, keepdims=True)
        return [rating, logits, ops.zeros_like(logits) + self.graph.values]
