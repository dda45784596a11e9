"""Which items of a ranking are hits, and the ranking metrics of every user."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

from zoo.errors import UserError
from zoo.evaluation.metrics import RankingMetric, metrics_of
from zoo.evaluation.metrics.base import RANKING
from zoo.schema import PADDING


class Hits(np.ndarray):
    """Whether the item at each rank is a held-out item of the user, bool `[num_users, num_ranks]`.

    It is an array, with sums that ranking metrics share. Column k - 1 of each is the sum over the top k, so every cut
    is read from the same sums. Each is taken when it is first asked for.

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
    """Which values are known, as `np.isin` says it, which takes several times as long because it sorts nothing first.

    Args:
        values: Of any shape; the faster, the more they are in order.
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


def ranking_metrics(hits: np.ndarray, num_relevant: np.ndarray, ks: Iterable[int] = (10,)) -> dict[str, np.ndarray]:
    """The ranking metrics of every user, at every cut; the mean over users is the figure to report.

    Args:
        hits: Whether the item at each rank is a held-out item of the user, bool `[num_users, num_ranks]`.
        num_relevant: Held-out items of each user, int `[num_users]`, each at least 1.
        ks: The cuts.

    Returns:
        A float64 array `[num_users]` for every metric and k, by names such as `"ndcg@10"`. The formulas are in
        `zoo.evaluation.metrics.ranking`.

    Raises:
        UserError: If a cut is below 1 or deeper than the ranks given, if the shapes do not match, or
            if a user has no held-out items or more hits than held-out items.

    Example:

    >>> hits = np.array([[True, False, True], [False, True, False]])
    >>> metrics = ranking_metrics(hits, num_relevant=np.array([2, 4]), ks=(3,))
    >>> metrics["recall@3"]
    array([1.  , 0.25])
    >>> metrics["mrr@3"].mean().item()
    0.75
    """
    hits, num_relevant, ks = np.asarray(hits, dtype=bool), np.asarray(num_relevant), tuple(ks)
    _check_ranking(hits, num_relevant, ks)
    summed = hits.view(Hits)
    return {
        f"{metric.name}@{k}": np.asarray(metric.function(summed, num_relevant, k), dtype=np.float64)
        for k in ks
        for metric in metrics_of(RANKING)
        if isinstance(metric, RankingMetric)
    }


def _check_ranking(hits: np.ndarray, num_relevant: np.ndarray, ks: tuple[int, ...]) -> None:
    if hits.ndim != 2 or num_relevant.shape != hits.shape[:1]:
        raise UserError(
            "Expected hits [num_users, num_ranks] and num_relevant [num_users]. "
            f"Received shapes: {hits.shape}, {num_relevant.shape}."
        )
    for k in ks:
        if not 1 <= k <= hits.shape[1]:
            raise UserError(f"Expected a cut-off k from 1 to the {hits.shape[1]} ranks given. Received: {k}.")
    if (num_relevant < 1).any():
        user = int(np.argmax(num_relevant < 1))
        raise UserError(
            f"Expected at least 1 held-out item for every user. Received: {num_relevant[user]} in row {user}."
        )
    # An item ranked twice, or a held-out pair that was not counted, would put recall above 1 without a word.
    too_many = hits.sum(axis=1) > num_relevant
    if too_many.any():
        user = int(np.argmax(too_many))
        raise UserError(
            f"Expected at most {num_relevant[user]} hits in row {user}, its number of held-out items. "
            f"Received: {hits[user].sum()}."
        )
