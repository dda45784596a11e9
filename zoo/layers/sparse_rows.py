"""A sparse matrix inside a model. It takes memory only for what it stores, in every export format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from scipy.sparse import csr_array, csr_matrix

from zoo.keras_internals import open_for_weights
from zoo.memory import check_memory

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor


@keras.saving.register_keras_serializable("recozoo")
class SparseRows(keras.layers.Layer):
    """Sums of rows of a sparse matrix. The rows to sum and their weights are the inputs.

    The pairs of a row lie one after the other. A call lists those of all rows it is given and adds them up by
    column, so it costs what these rows store.

    Args:
        rows: Rows of the matrix.
        columns: Columns of the matrix.
        pairs: Pairs of a row and a column that there is room for. `set` makes more room if it needs it.
        is_weighted: Whether pairs have values. Otherwise each is 1.

    Raises:
        UserError: When built or set, if the pairs do not fit into memory.

    Example:

    >>> layer = SparseRows(rows=2, columns=3)
    >>> layer.set(csr_array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]]))
    >>> layer(np.array([[0, 1]]), np.array([[1.0, 0.5]], "float32")).numpy()
    array([[0.5, 2. , 1.5]], dtype=float32)
    """

    def __init__(self, rows: int, columns: int, pairs: int = 1, is_weighted: bool = True, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.rows, self.num_columns, self.pairs, self.is_weighted = rows, columns, max(pairs, 1), is_weighted

    def build(self, *_: Shape) -> None:
        """Makes room for the pairs."""
        # Of each row: where its pairs begin, and how many there are.
        self.first = self._weight("first", self.rows)
        self.count = self._weight("count", self.rows)
        self._make_room()

    def set(self, matrix: csr_matrix | csr_array) -> None:
        """Stores a matrix, `[rows, columns]`."""
        if not self.built:
            self.build()
        if matrix.nnz > self.pairs:
            self.pairs = matrix.nnz
            with open_for_weights(self):
                # Keras forgets a variable that is deleted.
                del self.columns
                if self.is_weighted:
                    del self.values
                self._make_room()
        self.first.assign(matrix.indptr[:-1])
        self.count.assign(np.diff(matrix.indptr))
        self.columns.assign(np.resize(matrix.indices, self.pairs))
        if self.is_weighted:
            self.values.assign(np.resize(matrix.data, self.pairs))

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """How many pairs a call lists for `[batch, length]` rows, int64 `[batch]`."""
        return self.count.numpy().astype(np.int64)[rows].sum(axis=1)

    def call(self, rows: Tensor, weights: Tensor) -> Tensor:
        """`[batch, length]` rows and their weights to `[batch, columns]` sums."""
        batch, length = tf.shape(rows)[0], tf.shape(rows)[1]
        listed, weighed = tf.reshape(rows, [-1]), tf.reshape(weights, [-1])
        first = tf.gather(self.first.value, listed)
        count = tf.where(tf.not_equal(weighed, 0), tf.gather(self.count.value, listed), 0)
        # One pair more, of the weight 0, because LiteRT has no lists without any.
        first, weighed = tf.pad(first, [[0, 1]]), tf.pad(weighed, [[0, 1]])
        count = tf.pad(count, [[0, 1]], constant_values=1)
        end = tf.cumsum(count)
        begin = end - count
        total = end[-1:]
        # A step where the pairs of a row begin. Their sum is the row that a pair belongs to.
        steps = tf.scatter_nd(begin[:, None], tf.ones_like(begin), total)
        owner = tf.cumsum(steps) - 1
        place = tf.gather(first - begin, owner) + tf.range(total[0])
        values = tf.gather(weighed, owner)
        if self.is_weighted:
            values *= tf.gather(self.values.value, place)
        query = tf.minimum(owner // length, batch - 1)
        cells = query * self.num_columns + tf.gather(self.columns.value, place)
        sums = tf.scatter_nd(cells[:, None], values, [batch * self.num_columns])
        return tf.reshape(sums, [batch, self.num_columns])

    def compute_output_shape(self, rows_shape: Shape, weights_shape: Shape) -> Shape:
        """One sum a column."""
        return (rows_shape[0], self.num_columns)

    def get_config(self) -> dict[str, object]:
        """What builds the layer again, JSON-ready."""
        sizes = {"rows": self.rows, "columns": self.num_columns, "pairs": self.pairs}
        return {**super().get_config(), **sizes, "is_weighted": self.is_weighted}

    def _make_room(self) -> None:
        # Once in the layer and once in what is put there.
        check_memory(
            f"A sparse matrix of {self.pairs:,} pairs",
            self.pairs * (16 if self.is_weighted else 8),
            "Keep fewer neighbours, or leave out rare items.",
        )
        self.columns = self._weight("columns", self.pairs)
        if self.is_weighted:
            self.values = self._weight("values", self.pairs, "float32")

    def _weight(self, name: str, size: int, dtype: str = "int32") -> keras.Variable:
        return self.add_weight(
            name=name, shape=(size,), dtype=dtype, initializer="zeros", trainable=False, autocast=False
        )
