"""Named protocols: what is asked of a model, on which interactions, and what the answer is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.dataset import Dataset, Part
from zoo.errors import UserError, unknown_name
from zoo.evaluation.bootstrap import Interval, cluster_interval, mean_interval
from zoo.evaluation.metrics import hits_of, label_statistics, ranking_metrics, rating_statistics
from zoo.recommender import Recommender
from zoo.schema import FIRST_KNOWN

USERS_AT_ONCE = 256
ROWS_AT_ONCE = 1024

# What is known of a user when a part is predicted.
KNOWN_BEFORE: dict[Part, tuple[Part, ...]] = {
    "valid": ("train", "query"),
    "test": ("train", "query", "valid"),
}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics with the protocol that gave them.

    Args:
        protocol: The protocol's name.
        about: What was done, in one sentence.
        metrics: A bootstrap interval over users for every metric.
        users: The user indices evaluated, in order.
        per_user: For ranking metrics the value of every user, to compare runs pairwise.
    """

    protocol: str
    about: str
    metrics: dict[str, Interval]
    users: np.ndarray
    per_user: dict[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """The metrics, JSON-ready."""
        metrics = {name: dataclasses.asdict(interval) for name, interval in self.metrics.items()}
        return {"protocol": self.protocol, "about": self.about, "metrics": metrics}


def evaluate(
    model: Recommender,
    dataset: Dataset,
    protocol: str = "full-ranking",
    part: Part = "test",
    ks: Sequence[int] = (10,),
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Evaluates a model by a named protocol.

    Args:
        model: The recommender.
        dataset: The prepared data.
        protocol: `"full-ranking"`, `"ratings"` or `"labels"`.
        part: The held-out part.
        ks: Where the ranking metrics are cut.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        An `Evaluation`.

    Raises:
        UserError: For an unknown protocol, or one that the data or the model cannot answer.
    """
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    if part not in KNOWN_BEFORE:
        raise unknown_name("part", part, KNOWN_BEFORE)
    if dataset.part(part).empty:
        raise UserError(f"The {part} part of {dataset.name} is empty. Choose a split that holds some out.")
    return PROTOCOLS[protocol](model, dataset, part, tuple(ks), resamples, seed)


def per_user_ranking(
    model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Ranks the whole catalogue, less what a user already met, for every user with held-out items.

    Args:
        model: The recommender.
        dataset: The prepared data.
        part: The held-out part.
        ks: Where the metrics are cut.

    Returns:
        The user indices, and the value of every metric for each of them.
    """
    users, pairs = _relevant(dataset, part)
    if not len(users):
        raise UserError(f"No user has a new item with a label above 0 in the {part} part of {dataset.name}.")
    before = KNOWN_BEFORE[part]
    seen = dataset.sequences(*before)
    # Users with histories of like length share a batch, so that little is padding.
    order = np.argsort(seen.counts[users], kind="stable")
    catalogue = model.encode_catalogue()
    ranked = np.zeros((len(users), max(ks)), np.int32)
    for start in range(0, len(order), USERS_AT_ONCE):
        rows = order[start : start + USERS_AT_ONCE]
        query = dataset.queries(model.query_names, users[rows], *before, context=part)
        exclude, _ = seen.padded(users[rows])
        ranked[rows], _ = model.recommend(query, max(ks), exclude=exclude, catalogue=catalogue)
    rows = np.searchsorted(users, pairs["user"].to_numpy())
    hits = hits_of(ranked, rows, pairs["item"].to_numpy())
    return users, ranking_metrics(hits, np.bincount(rows, minlength=len(users)), ks)


def score_rows(model: Recommender, dataset: Dataset, rows: pd.DataFrame, part: Part) -> np.ndarray:
    """The score of every interaction of a held-out part, in the order of the rows."""
    scores = np.zeros(len(rows), np.float32)
    context = [feature for feature in dataset.schema.role("context") if feature.name in model.query_names]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows.iloc[start : start + ROWS_AT_ONCE]
        query = dataset.queries(model.query_names, chunk["user"].to_numpy(), *KNOWN_BEFORE[part])
        # Here each interaction has a context of its own.
        query.update({f.name: np.stack(list(chunk[f.name])) for f in context})
        scores[start : start + ROWS_AT_ONCE] = model.score(query, chunk["item"].to_numpy())
    return scores


def _full_ranking(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    users, per_user = per_user_ranking(model, dataset, part, ks)
    metrics = {name: mean_interval(values, resamples=resamples, seed=seed) for name, values in per_user.items()}
    about = (
        f"{len(users):,} users; each one's new items of the {part} part against the whole catalogue "
        f"({dataset.num_items - FIRST_KNOWN:,} items) less what the user met before."
    )
    return Evaluation("full-ranking", about, metrics, users, per_user)


def _ratings(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    if not model.scores_are_ratings:
        raise UserError(
            "Protocol 'ratings' needs a model whose scores are ratings. Train with "
            "train.options.feedback=explicit, or evaluate with --protocol full-ranking."
        )
    rows = dataset.part(part)
    statistics = rating_statistics(rows["label"].to_numpy(), score_rows(model, dataset, rows, part))
    return _by_row("ratings", f"{len(rows):,} held-out ratings of the {part} part.", rows, statistics, resamples, seed)


def _labels(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    rows = dataset.part(part)
    labels = rows["label"].to_numpy()
    if not np.isin(labels, (0.0, 1.0)).all():
        raise UserError(
            "Protocol 'labels' needs labels of 0 and 1. Make them from ratings with data.label_threshold, "
            "or evaluate with --protocol full-ranking."
        )
    statistics = label_statistics(labels, score_rows(model, dataset, rows, part))
    about = f"{len(rows):,} held-out labels of the {part} part, {labels.mean():.1%} of them 1."
    return _by_row("labels", about, rows, statistics, resamples, seed)


def _by_row(
    protocol: str, about: str, rows: pd.DataFrame, statistics: dict[str, Any], resamples: int, seed: int
) -> Evaluation:
    users = rows["user"].to_numpy()
    metrics = {
        name: cluster_interval(statistic, users, resamples=resamples, seed=seed)
        for name, statistic in statistics.items()
    }
    return Evaluation(protocol, about, metrics, np.unique(users), {})


def _relevant(dataset: Dataset, part: Part) -> tuple[np.ndarray, pd.DataFrame]:
    """Users with something to find, and what: held-out items with a label above 0 that they had not met."""
    rows = dataset.part(part)
    pairs = rows.loc[rows["label"] > 0, ["user", "item"]].drop_duplicates()
    met = dataset.part(*KNOWN_BEFORE[part])[["user", "item"]].drop_duplicates()
    pairs = pairs.merge(met, how="left", on=["user", "item"], indicator=True)
    pairs = pairs[pairs["_merge"] == "left_only"]
    return np.unique(pairs["user"].to_numpy()), pairs


METRICS = {
    "full-ranking": ("hr", "recall", "precision", "ndcg", "map", "mrr"),
    "labels": ("log_loss", "auc"),
    "ratings": ("rmse", "mae"),
}


def metric_names(protocol: str, ks: Sequence[int]) -> list[str]:
    """The metrics a protocol gives, e.g. `"ndcg@10"`. Raises a `UserError` for an unknown protocol."""
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    if protocol != "full-ranking":
        return list(METRICS[protocol])
    return [f"{metric}@{k}" for k in ks for metric in METRICS[protocol]]


Protocol = Callable[[Recommender, Dataset, Part, tuple[int, ...], int, int], Evaluation]

PROTOCOLS: dict[str, Protocol] = {"full-ranking": _full_ranking, "labels": _labels, "ratings": _ratings}
