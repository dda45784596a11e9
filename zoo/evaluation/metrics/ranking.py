"""Metrics of a user's ranking, cut at rank k.

The formulas are those of one user: `hit[r]` is 1 if the item at rank r (from 1) is held out and 0 otherwise, and R is
the number of items that are held out. All metrics read the sums of `Hits`, which are taken once for all metrics and
cuts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.evaluation.metrics.base import ranking_metric

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.hits import Hits


@ranking_metric()
def hr(hits: Hits, num_relevant: np.ndarray, k: int) -> np.ndarray:
    """Hit rate: 1 if there is a hit in the top k, else 0."""
    return hits.found[:, k - 1] > 0


@ranking_metric()
def recall(hits: Hits, num_relevant: np.ndarray, k: int) -> np.ndarray:
    """Recall: hits in the top k / R."""
    return hits.found[:, k - 1] / num_relevant


@ranking_metric()
def precision(hits: Hits, num_relevant: np.ndarray, k: int) -> np.ndarray:
    """Precision: hits in the top k / k. It stays below 1 where fewer than k items are held out."""
    return hits.found[:, k - 1] / k


@ranking_metric()
def ndcg(hits: Hits, num_relevant: np.ndarray, k: int) -> np.ndarray:
    """Normalized discounted cumulative gain: DCG / IDCG, both over the top k.

    DCG is the sum of `hit[r] / log2(r + 1)`, and IDCG is that sum where min(R, k) hits are at the top. The gain is
    binary (Järvelin and Kekäläinen, 2002, doi:10.1145/582415.582418).
    """
    return hits.gain[:, k - 1] / hits.ideal_gain[num_relevant.clip(max=k) - 1]


@ranking_metric()
def map(hits: Hits, num_relevant: np.ndarray, k: int) -> np.ndarray:
    """Average precision: the sum of the precision at each hit in the top k / min(R, k), so that a perfect top k is 1.

    The mean over users is MAP.
    """
    return hits.precision[:, k - 1] / num_relevant.clip(max=k)


@ranking_metric()
def mrr(hits: Hits, num_relevant: np.ndarray, k: int) -> np.ndarray:
    """Reciprocal rank: 1 / rank of the first hit in the top k, 0 where there is none.

    The mean over users is MRR.
    """
    return (hits.first <= k) / hits.first
