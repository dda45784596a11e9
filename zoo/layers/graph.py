"""The graph of users and items, and sums of messages along its edges."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np
import tensorflow as tf
from scipy.sparse import csr_matrix

from zoo.layers.data import DataLayer, Source

if TYPE_CHECKING:
    from zoo.types import Tensor


class Edges:
    """Edges from nodes of one kind, the rows of a matrix, to nodes of another, its columns.

    Every edge counts once, so weights are up to the caller. TensorFlow sums rows of a table along edges ten times as
    fast as it multiplies a sparse matrix by a dense one. The gradient of a sum is the sum along the edges' reverse.

    Args:
        matrix: `[num_rows, num_columns]`; what is stored in it is an edge.

    Example:

    >>> edges = Edges(csr_matrix([[1, 1, 0], [0, 0, 0]]))
    >>> edges.to_rows(tf.constant([[1.0], [2.0], [4.0]])).numpy().tolist()
    [[3.0], [0.0]]
    >>> edges.to_columns(tf.constant([[1.0], [2.0]])).numpy().tolist()
    [[1.0], [1.0], [0.0]]
    """

    def __init__(self, matrix: csr_matrix) -> None:
        by_row, by_column = _sorted(matrix), _sorted(matrix.T)
        self._to_rows = _sum_along(*by_row, *by_column)
        self._to_columns = _sum_along(*by_column, *by_row)

    def to_rows(self, columns: Tensor) -> Tensor:
        """`[num_columns, dim]` to the sums over the columns of each row, `[num_rows, dim]`."""
        return self._to_rows(columns)

    def to_columns(self, rows: Tensor) -> Tensor:
        """`[num_rows, dim]` to the sums over the rows of each column, `[num_columns, dim]`."""
        return self._to_columns(rows)


def _sorted(matrix: csr_matrix) -> tuple[tf.Tensor, tf.Tensor, int]:
    """For the edges by target: the sources, the targets, and how many targets there are."""
    matrix = matrix.tocsr()
    targets = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return tf.constant(matrix.indices, tf.int32), tf.constant(targets, tf.int32), matrix.shape[0]


def _sum_along(
    sources: Tensor, targets: Tensor, number: int, back_sources: Tensor, back_targets: Tensor, back_number: int
) -> Callable[[Tensor], Tensor]:
    @tf.custom_gradient
    def sums(values: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        def gradient(upstream: Tensor) -> Tensor:
            return _segment_sum(upstream, back_sources, back_targets, back_number)

        return _segment_sum(values, sources, targets, number), gradient

    return sums


def _segment_sum(values: Tensor, sources: Tensor, targets: Tensor, number: int) -> Tensor:
    return tf.sparse.segment_sum(values, sources, targets, num_segments=number)


@keras.saving.register_keras_serializable("recozoo")
class LikedGraph(DataLayer[csr_matrix]):
    """Who liked what: users and items with an edge for every interaction whose label is above 0.

    Messages are normalized on both sides, by `1 / sqrt(|N_u| |N_i|)` for the edge of user `u` and item `i`, whose
    numbers of edges these are. A node without edges receives zeros. The edges themselves are no weights: they serve
    training, and what a trained model answers with is made of them beforehand.

    Args:
        num_users: Rows of the user table, padding and unknown included.
        num_items: Rows of the item table, likewise.
        **kwargs: Those of a Keras layer.

    Example:

    >>> graph = LikedGraph(num_users=3, num_items=4)
    >>> graph.adapt(csr_matrix(([5.0, 3.0], ([2, 2], [2, 3])), shape=(3, 4)))
    >>> graph.to_users(tf.ones((4, 1)))[2].numpy().round(3)
    array([1.414], dtype=float32)
    """

    source: ClassVar[Source] = "interactions"

    def __init__(self, num_users: int, num_items: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.num_users, self.num_items = num_users, num_items
        self.edges = Edges(csr_matrix((num_users, num_items), dtype=np.float32))
        self.user_counts, self.item_counts = (
            self.add_weight(name=f"{of}_counts", shape=(size,), initializer="zeros", trainable=False, autocast=False)
            for of, size in (("user", num_users), ("item", num_items))
        )
        self.built = True

    def adapt(self, data: csr_matrix) -> None:
        """Puts the edges into the graph.

        Args:
            data: `[num_users, num_items]` training labels above 0.
        """
        self.edges = Edges(data)
        self.user_counts.assign(np.diff(data.tocsr().indptr))
        self.item_counts.assign(np.diff(data.tocsc().indptr))

    def to_users(self, items: Tensor) -> Tensor:
        """`[num_items, dim]` to what users receive, `[num_users, dim]`."""
        return _share(self.user_counts) * self.edges.to_rows(_share(self.item_counts) * items)

    def to_items(self, users: Tensor) -> Tensor:
        """`[num_users, dim]` to what items receive, `[num_items, dim]`."""
        return _share(self.item_counts) * self.edges.to_columns(_share(self.user_counts) * users)

    def sent(self, items: Tensor) -> Tensor:
        """`[num_items, dim]` to what each of them sends along one edge, before the share of who receives it."""
        return _share(self.item_counts) * items


def _share(counts: Tensor) -> Tensor:
    """`1 / sqrt(count)`, `[n, 1]`; 0 without edges."""
    return tf.math.divide_no_nan(1.0, tf.sqrt(tf.convert_to_tensor(counts)))[:, None]


class OnceAGraph:
    """Gives the value of a function that several layers need in one step, and computes it once.

    A step is traced into a graph. The query tower and the item tower are traced apart from each other, and both read
    the vectors of the whole propagation. Whoever asks first in a graph computes it; the others get the same tensors.
    Each replica has a thread of its own, and a gradient tape of its own, so it computes its own. Without a graph
    nothing is kept.

    Args:
        function: The function. What it reads must not change while a graph runs.
    """

    def __init__(self, function: Callable[[], list[Tensor]]) -> None:
        self._function, self._kept = function, threading.local()

    def __call__(self) -> list[Tensor]:
        """The value."""
        if tf.executing_eagerly():
            return self._function()
        graph = tf.compat.v1.get_default_graph()
        if getattr(self._kept, "graph", None) is not graph:
            self._kept.graph, self._kept.value = graph, self._function()
        return self._kept.value

    def __deepcopy__(self, memo: dict[int, object]) -> OnceAGraph:
        return OnceAGraph(self._function)
