"""Which items of a ranking are hits, and the sums over them that ranking metrics share."""

from __future__ import annotations

import functools

import numpy as np

from zoo.errors import UserError
from zoo.schema import PADDING


class Hits(np.ndarray):
    """Whether the item at each rank is a held-out item of the user, bool `[num_users, num_ranks]`.

    It is an array with sums that ranking metrics share. Column k - 1 of a sum is the sum over the top k, so every cut
    is read from the same sums. A sum is taken when it is first asked for.

    Example:

    >>> hits = np.array([[False, True, True]]).view(Hits)
    >>> hits.found
    array([[0, 1, 2]])
    """

    @functools.cached_property
    def found(self) -> np.ndarray:
        """Hits in the top k, int64 `[num_users, num_ranks]`."""
        return np.cumsum(self._plain, axis=1)

    @functools.cached_property
    def gain(self) -> np.ndarray:
        """The sum of `hit[r] / log2(r + 1)` over the top k, float64 `[num_users, num_ranks]`."""
        return np.cumsum(self._plain * self._discounts, axis=1)

    @functools.cached_property
    def ideal_gain(self) -> np.ndarray:
        """The most that `gain` can be, float64 `[num_ranks]`."""
        return np.cumsum(self._discounts)

    @functools.cached_property
    def precision(self) -> np.ndarray:
        """The sum of the precision at each hit in the top k, float64 `[num_users, num_ranks]`."""
        return np.cumsum(self._plain * (self.found / self._ranks), axis=1)

    @functools.cached_property
    def first(self) -> np.ndarray:
        """The rank of the first hit, infinite where there is none, float64 `[num_users]`."""
        return np.where(self._plain.any(axis=1), self._plain.argmax(axis=1) + 1, np.inf)

    @property
    def _plain(self) -> np.ndarray:
        return self.view(np.ndarray)

    @property
    def _ranks(self) -> np.ndarray:
        return np.arange(1, self.shape[1] + 1)

    @property
    def _discounts(self) -> np.ndarray:
        return 1 / np.log2(self._ranks + 1)


def hits_of(ranked: np.ndarray, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Which of the ranked items are held-out items of their user.

    Args:
        ranked: Item indices, best first, int `[num_users, k]`. Padding (0) is an empty slot and never a hit.
        rows: The row in `ranked` of every held-out pair's user, int `[num_pairs]`.
        items: The item index of every held-out pair, int `[num_pairs]`, each at least 1. No pair comes twice.

    Returns:
        A bool array `[num_users, k]`.

    Raises:
        UserError: If `rows` and `items` differ in length, or a row or an item is out of range.

    Example:

    >>> hits_of(np.array([[7, 5], [5, 0]]), rows=np.array([0, 1]), items=np.array([5, 5]))
    array([[False,  True],
           [ True, False]])
    """
    ranked, rows, items = (np.asarray(values, dtype=np.int64) for values in (ranked, rows, items))
    if ranked.ndim != 2 or rows.ndim != 1 or rows.shape != items.shape:
        raise UserError(
            "Expected ranked items [num_users, k], and rows and items of the same length. "
            f"Received shapes: {ranked.shape}, {rows.shape}, {items.shape}."
        )
    if rows.size and (rows.min() < 0 or rows.max() >= len(ranked)):
        raise UserError(f"Expected rows from 0 to {len(ranked) - 1}. Received: {rows.min()} to {rows.max()}.")
    if items.size and items.min() <= PADDING:
        raise UserError(f"Expected held-out items of at least {PADDING + 1}. Received: {items.min()}.")
    width = 1 + max(ranked.max(initial=0), items.max(initial=0))
    pairs = np.arange(len(ranked))[:, None] * width + ranked
    return (ranked > PADDING) & is_among(pairs, np.sort(rows * width + items))


def is_among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values are known. The answer is that of `np.isin`, which takes several times as long.

    Args:
        values: Values of any shape. Values in ascending order are looked up fastest.
        known: `[num_known]`, ascending.

    Returns:
        A bool array of the shape of `values`.

    Example:

    >>> is_among(np.array([3, 1, 9]), known=np.array([1, 2, 3]))
    array([ True,  True, False])
    """
    if not known.size:
        return np.zeros(values.shape, dtype=bool)
    places = np.searchsorted(known, values)
    return known[np.minimum(places, len(known) - 1)] == values
