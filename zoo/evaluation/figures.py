"""The figures of all metrics of a kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from zoo.errors import UserError
from zoo.evaluation.hits import Hits
from zoo.evaluation.metrics import RankingMetric, RowMetric, metrics_of
from zoo.evaluation.metrics.base import RANKING
from zoo.evaluation.statistics import Statistic


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
    # An item that is ranked twice would put recall above 1 without an error.
    too_many = hits.sum(axis=1) > num_relevant
    if too_many.any():
        user = int(np.argmax(too_many))
        raise UserError(
            f"Expected at most {num_relevant[user]} hits in row {user}, its number of held-out items. "
            f"Received: {hits[user].sum()}."
        )


def row_statistics(kind: str, rows: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
    """The metrics of single interactions, as functions of row weights.

    Args:
        kind: The kind of metrics, `"labels"` or `"ratings"`.
        rows: `label` and `score` of every interaction, and columns that single metrics read (`is_cold`), `[num_rows]`.

    Returns:
        A `Statistic` by metric. A metric that these rows leave undefined is left out, as an AUC where all labels are
        the same.

    Raises:
        UserError: If the shapes differ, there are no rows, a value is not finite, or a label is not of the kind.

    Example:

    >>> rows = {"label": np.array([3.0, 5.0]), "score": np.array([4.0, 5.0])}
    >>> row_statistics("ratings", rows)["mae"](np.array([1, 3]))
    0.25
    """
    labels, scores = _checked_rows(rows["label"], rows["score"])
    checked = {**rows, "label": labels, "score": scores}
    found = {
        metric.name: metric.function(checked)
        for metric in metrics_of(kind, checked.keys())
        if isinstance(metric, RowMetric)
    }
    return {name: statistic for name, statistic in found.items() if statistic is not None}


def row_metrics(kind: str, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The metrics of single interactions, each counted once. Arguments and errors are those of `row_statistics`.

    Example:

    >>> row_metrics("ratings", {"label": np.array([3.0, 5.0]), "score": np.array([4.0, 4.0])})
    {'rmse': 1.0, 'mae': 1.0}
    """
    return {name: statistic(np.ones(len(rows["label"]))) for name, statistic in row_statistics(kind, rows).items()}


def _checked_rows(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape or not labels.size:
        raise UserError(
            "Expected one label and one score for each of at least 1 row. "
            f"Received shapes: {labels.shape}, {scores.shape}."
        )
    for what, values in (("label", labels), ("score", scores)):
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise UserError(f"Expected finite {what}s. Received: {values[row]} in row {row}.")
    return labels, scores
