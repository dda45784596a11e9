"""The figures a recommender is judged by: per-user ranking metrics, and metrics of labelled or rated rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from zoo.errors import UserError
from zoo.schema import PADDING

# A metric of a fixed set of rows, as a function of one weight per row. A row of weight 2 counts as if it
# were there twice, so a bootstrap resample is a call with other weights and nothing is sorted anew.
Statistic = Callable[[np.ndarray], float]


@dataclasses.dataclass(frozen=True)
class MeanStatistic:
    """A `Statistic` that is the weighted mean of one value a row, or the square root of that mean.

    Sums of its values, taken by user once, are all that a bootstrap over users needs of the rows.

    Args:
        values: float64 `[num_rows]`.
        root: Whether the square root is taken.

    Example:

    >>> MeanStatistic(np.array([1.0, 4.0]), root=True)(np.array([0.0, 2.0]))
    2.0
    """

    values: np.ndarray
    root: bool = False

    def __call__(self, weights: np.ndarray) -> float:
        """The statistic of rows with these weights, `[num_rows]`."""
        return float(self.finish(np.average(self.values, weights=weights)))

    def finish(self, means: np.ndarray) -> np.ndarray:
        """The statistic of weighted means of the values, of any shape."""
        return np.sqrt(means) if self.root else means


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
    """Which values are known, like `np.isin`, which takes several times as long for it sorts nothing in advance.

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
    """The ranking metrics of every user, at every cut-off; the mean over users is the figure to report.

    For one user, with `hit[r]` 1 if the item at rank r (from 1) is held out and R held-out items:

    - `hr@k`: 1 if there is a hit in the top k, else 0.
    - `recall@k`: hits in the top k / R.
    - `precision@k`: hits in the top k / k, also where fewer than k items could be hits.
    - `ndcg@k`: sum of `hit[r] / log2(r + 1)` over the top k, divided by that sum for min(R, k) hits at
      the top (binary gain; Järvelin and Kekäläinen, 2002, doi:10.1145/582415.582418).
    - `map@k`: sum over the hits in the top k of the precision at that hit, divided by min(R, k), so that
      a perfect top k is 1. This is average precision; its mean over users is MAP.
    - `mrr@k`: 1 / rank of the first hit in the top k, else 0. Its mean over users is MRR.

    Args:
        hits: Whether the item at each rank is a held-out item of the user, bool `[num_users, num_ranks]`.
        num_relevant: Held-out items of each user, int `[num_users]`, each at least 1.
        ks: The cut-offs.

    Returns:
        A float64 array `[num_users]` for each of `"hr@k"`, `"recall@k"`, `"precision@k"`, `"ndcg@k"`,
        `"map@k"` and `"mrr@k"`, for each k.

    Raises:
        UserError: If a cut-off is below 1 or deeper than the ranks given, if the shapes do not match, or
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
    ranks = np.arange(1, hits.shape[1] + 1)
    discounts = 1 / np.log2(ranks + 1)

    # Column k - 1 of each is the sum over the top k, so every cut-off is read from the same sums.
    found_in_top = np.cumsum(hits, axis=1)
    gain_in_top = np.cumsum(hits * discounts, axis=1)
    precision_in_top = np.cumsum(hits * (found_in_top / ranks), axis=1)
    ideal_gain = np.cumsum(discounts)
    first_hit = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)

    metrics = {}
    for k in ks:
        found = found_in_top[:, k - 1]
        most = np.minimum(num_relevant, k)
        metrics[f"hr@{k}"] = (found > 0).astype(np.float64)
        metrics[f"recall@{k}"] = found / num_relevant
        metrics[f"precision@{k}"] = found / k
        metrics[f"ndcg@{k}"] = gain_in_top[:, k - 1] / ideal_gain[most - 1]
        metrics[f"map@{k}"] = precision_in_top[:, k - 1] / most
        metrics[f"mrr@{k}"] = np.where(first_hit <= k, 1 / first_hit, 0.0)
    return metrics


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
    # Either would put recall above 1 without a word: an item ranked twice, or a held-out pair not counted.
    too_many = hits.sum(axis=1) > num_relevant
    if too_many.any():
        user = int(np.argmax(too_many))
        raise UserError(
            f"Expected at most {num_relevant[user]} hits in row {user}, its number of held-out items. "
            f"Received: {hits[user].sum()}."
        )


def row_statistics(protocol: str, rows: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
    """The metrics of a protocol about single interactions, as functions of row weights.

    Args:
        protocol: `"ctr"`, `"labels"` or `"ratings"`.
        rows: `label` and `score` of every interaction, and for `"ctr"` `is_cold`, all `[num_rows]`.

    Returns:
        What `rating_statistics` or `label_statistics` gives.

    Example:

    >>> row_statistics("ratings", {"label": np.array([3.0]), "score": np.array([4.0])})["mae"](np.ones(1))
    1.0
    """
    if protocol == "ratings":
        return rating_statistics(rows["label"], rows["score"])
    return label_statistics(rows["label"], rows["score"], rows.get("is_cold"))


def label_statistics(labels: np.ndarray, logits: np.ndarray, is_cold: np.ndarray | None = None) -> dict[str, Statistic]:
    """AUC, log loss and accuracy of binary labels, as functions of row weights.

    - `auc`: the chance that a positive row scores above a negative one, a tie counting half (Mann and
      Whitney, 1947, doi:10.1214/aoms/1177730491; equal to scikit-learn's `roc_auc_score`).
    - `log_loss`: the mean of `-log sigmoid(logit)` over positive and `-log sigmoid(-logit)` over negative
      rows, in nats, nowhere clipped.
    - `accuracy`: the share of rows whose label is 1 where the probability is above a half and 0 elsewhere.
    - `auc_cold`: the AUC of the cold rows alone.

    Args:
        labels: 0 or 1, `[num_rows]`.
        logits: Scores before the sigmoid, float `[num_rows]`.
        is_cold: Which rows are about items of no training interaction, bool `[num_rows]`, if that is asked about.

    Returns:
        A `Statistic` each for `"auc"`, `"log_loss"` and `"accuracy"`, and given `is_cold` for `"auc_cold"`. AUC is
        undefined for a single class: `"auc"` and `"auc_cold"` are left out if all their labels are the same, and
        give NaN for weights that leave only one class.

    Raises:
        UserError: If the shapes differ, there are no rows, a value is not finite or a label is not 0 or 1.

    Example:

    >>> statistics = label_statistics(np.array([0, 0, 1]), np.array([-2.0, 1.0, 0.5]))
    >>> statistics["auc"](np.array([1, 1, 1])), statistics["auc"](np.array([3, 1, 1]))
    (0.5, 0.75)
    """
    labels, logits = _checked_rows(labels, logits)
    if not np.isin(labels, (0, 1)).all():
        raise UserError(f"Expected labels of 0 or 1. Received: {labels[~np.isin(labels, (0, 1))][0]}.")
    positive = labels == 1
    # Of log(1 + exp(x)) and y * x the difference would cancel for a confident and right score.
    losses = np.logaddexp(0.0, np.where(positive, -logits, logits))
    statistics: dict[str, Statistic] = {
        "log_loss": MeanStatistic(losses),
        "accuracy": MeanStatistic(np.asarray((logits > 0) == positive, np.float64)),
    }
    if 0 < positive.sum() < len(positive):
        statistics["auc"] = _auc_of(positive, logits)
    if is_cold is not None:
        cold = np.flatnonzero(is_cold)
        if 0 < positive[cold].sum() < len(cold):
            auc_of_cold = _auc_of(positive[cold], logits[cold])
            statistics["auc_cold"] = lambda weights: auc_of_cold(weights[cold])
    return statistics


def rating_statistics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, Statistic]:
    """RMSE and MAE of predicted ratings, as functions of row weights.

    - `rmse`: the square root of the mean of `(prediction - label) ** 2`, over rows and not over users.
    - `mae`: the mean of `|prediction - label|`, over rows.

    Args:
        labels: The ratings given, `[num_rows]`.
        predictions: The ratings predicted, on the same scale, float `[num_rows]`.

    Returns:
        A `Statistic` each for `"rmse"` and `"mae"`.

    Raises:
        UserError: If the shapes differ, there are no rows or a value is not finite.

    Example:

    >>> rating_statistics(np.array([3.0, 5.0]), np.array([4.0, 5.0]))["mae"](np.array([1, 3]))
    0.25
    """
    labels, predictions = _checked_rows(labels, predictions)
    errors = predictions - labels
    return {"rmse": MeanStatistic(errors**2, root=True), "mae": MeanStatistic(np.abs(errors))}


def label_metrics(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """AUC, log loss and accuracy of binary labels; for the definitions and errors see `label_statistics`.

    Args:
        labels: 0 or 1, `[num_rows]`.
        logits: Scores before the sigmoid, float `[num_rows]`.

    Returns:
        `"log_loss"` and `"accuracy"`, and `"auc"` unless all labels are the same.

    Example:

    >>> label_metrics(np.array([0, 0, 1]), np.array([-2.0, 1.0, 0.5]))["auc"]
    0.5
    """
    return _of_all_rows(label_statistics(labels, logits), len(labels))


def rating_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """RMSE and MAE of predicted ratings; for the definitions and errors see `rating_statistics`.

    Args:
        labels: The ratings given, `[num_rows]`.
        predictions: The ratings predicted, on the same scale, float `[num_rows]`.

    Returns:
        `"rmse"` and `"mae"`.

    Example:

    >>> rating_metrics(np.array([3.0, 5.0]), np.array([4.0, 4.0]))
    {'rmse': 1.0, 'mae': 1.0}
    """
    return _of_all_rows(rating_statistics(labels, predictions), len(labels))


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


def _of_all_rows(statistics: dict[str, Statistic], num_rows: int) -> dict[str, float]:
    return {name: statistic(np.ones(num_rows)) for name, statistic in statistics.items()}


def _auc_of(positive: np.ndarray, scores: np.ndarray) -> Statistic:
    positives, negatives = (
        rows[np.argsort(scores[rows])] for rows in (np.flatnonzero(positive), np.flatnonzero(~positive))
    )
    # Of the negatives, in order, the first below[i] are beaten by positive i and those up to tied[i] tie with it.
    below = np.searchsorted(scores[negatives], scores[positives], side="left")
    tied = np.searchsorted(scores[negatives], scores[positives], side="right")

    def auc(weights: np.ndarray) -> float:
        of_positives = weights[positives]
        of_negatives = np.concatenate([[0.0], np.cumsum(weights[negatives])])
        pairs = of_positives.sum() * of_negatives[-1]
        if pairs == 0:
            return float("nan")
        beaten = (of_negatives[below] + of_negatives[tied]) / 2
        # No dot product, which would wake all threads for so little.
        return float(np.sum(of_positives * beaten) / pairs)

    return auc
