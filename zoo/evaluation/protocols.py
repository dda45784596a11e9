"""Named protocols: what is asked of a model, on which interactions, and what the answer is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.dataset import Dataset, Part
from zoo.errors import UserError, unknown_name
from zoo.evaluation.bootstrap import Interval, cluster_interval, mean_intervals
from zoo.evaluation.figures import metric_names as metric_names
from zoo.evaluation.metrics import Statistic, row_statistics
from zoo.evaluation.ranking import KNOWN_BEFORE, per_user_ranking
from zoo.evaluation.sampled import per_user_sampled_ranking
from zoo.families import Recommender
from zoo.schema import FIRST_KNOWN

ROWS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics with the protocol that gave them.

    Args:
        protocol: The protocol's name.
        about: What was done, in one sentence.
        metrics: A bootstrap interval over users for every metric.
        users: The user indices evaluated, in order.
        per_user: For ranking metrics the value of every user, to compare runs pairwise.
        statistics: For metrics of rows each one as a function of row weights, for the same purpose.
        rows: What those are made of: `user` (index), `label` and `score` of every row, and in protocol `ctr`
            whether its item `is_cold`, in no training interaction.
    """

    protocol: str
    about: str
    metrics: dict[str, Interval]
    users: np.ndarray
    per_user: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Statistic] = dataclasses.field(default_factory=dict)
    rows: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def row_users(self) -> np.ndarray:
        """The user index of every row."""
        return self.rows["user"]

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
        protocol: `"full-ranking"`, `"sampled-ranking"`, `"ratings"`, `"labels"` or `"ctr"`.
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


def score_rows_in_order(model: Recommender, dataset: Dataset, rows: pd.DataFrame) -> np.ndarray:
    """The score of every interaction from what its user did before that very one, in the order of the rows."""
    return _scored(model, rows, lambda chunk: dataset.queries_before(model.query_names, chunk))


def score_rows(model: Recommender, dataset: Dataset, rows: pd.DataFrame, part: Part) -> np.ndarray:
    """The score of every interaction of a held-out part from what was known before that, in the order of the rows."""
    context = [feature for feature in dataset.schema.role("context") if feature.name in model.query_names]

    def query_of(chunk: pd.DataFrame) -> dict[str, np.ndarray]:
        asked = chunk["timestamp"].to_numpy() if dataset.is_ordered else None
        query = dataset.queries(model.query_names, chunk["user"].to_numpy(), *KNOWN_BEFORE[part], asked=asked)
        # Here each interaction has a context of its own.
        return {**query, **{f.name: np.stack(list(chunk[f.name])) for f in context}}

    return _scored(model, rows, query_of)


def _scored(
    model: Recommender, rows: pd.DataFrame, query_of: Callable[[pd.DataFrame], dict[str, np.ndarray]]
) -> np.ndarray:
    scores = np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows.iloc[start : start + ROWS_AT_ONCE]
        scores[start : start + ROWS_AT_ONCE] = model.score(query_of(chunk), chunk["item"].to_numpy())
    return scores


def _full_ranking(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    users, per_user = per_user_ranking(model, dataset, part, ks)
    about = (
        f"{len(users):,} users; each one's new items of the {part} part against the whole catalogue "
        f"({dataset.num_items - FIRST_KNOWN:,} items) less what the user met before."
    )
    return _by_user("full-ranking", about, users, per_user, resamples, seed)


def _sampled_ranking(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    users, per_user = per_user_sampled_ranking(model, dataset, part, ks)
    number = dataset.candidates[part].shape[1]
    about = (
        f"{len(users):,} users; each one's new items of the {part} part against {number} candidates listed in the "
        "data, of equal scores the new item last. A sampled protocol: it only serves to reproduce papers, and its "
        "figures do not tell how the whole catalogue is ranked."
    )
    return _by_user("sampled-ranking", about, users, per_user, resamples, seed)


def _by_user(
    protocol: str, about: str, users: np.ndarray, per_user: dict[str, np.ndarray], resamples: int, seed: int
) -> Evaluation:
    metrics = mean_intervals(per_user, resamples=resamples, seed=seed)
    return Evaluation(protocol, about, metrics, users, per_user)


def _ratings(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    if not model.scores_are_ratings:
        raise UserError(
            "Protocol 'ratings' needs a model whose scores are ratings. Train with "
            "train.options.feedback=explicit, or evaluate with --protocol full-ranking."
        )
    rows = dataset.part(part)
    scores = score_rows(model, dataset, rows, part)
    return _by_row("ratings", f"{len(rows):,} held-out ratings of the {part} part.", rows, scores, resamples, seed)


def _labels(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    rows = _labelled_rows("labels", dataset, part)
    scores = score_rows(model, dataset, rows, part)
    return _by_row("labels", f"{_said_of_labels(rows, part)}.", rows, scores, resamples, seed)


def _ctr(
    model: Recommender, dataset: Dataset, part: Part, ks: tuple[int, ...], resamples: int, seed: int
) -> Evaluation:
    if not dataset.is_ordered:
        raise UserError(
            f"Protocol 'ctr' asks about interactions in the order of time, and {dataset.name} has no timestamps. "
            "Add a timestamp column, or evaluate with --protocol labels."
        )
    rows = _labelled_rows("ctr", dataset, part)
    scores = score_rows_in_order(model, dataset, rows)
    is_cold = ~rows["item"].isin(dataset.part("train")["item"]).to_numpy()
    about = (
        f"{_said_of_labels(rows, part)}, each from all that its user did before that very interaction; "
        f"{is_cold.sum():,} are about cold items, which are in no training interaction."
    )
    return _by_row("ctr", about, rows, scores, resamples, seed, is_cold=is_cold)


def _labelled_rows(protocol: str, dataset: Dataset, part: Part) -> pd.DataFrame:
    rows = dataset.part(part)
    if not rows["label"].isin((0.0, 1.0)).all():
        raise UserError(
            f"Protocol {protocol!r} needs labels of 0 and 1. Make them from ratings with data.label_threshold, "
            "or evaluate with --protocol full-ranking."
        )
    return rows


def _said_of_labels(rows: pd.DataFrame, part: Part) -> str:
    return f"{len(rows):,} held-out labels of the {part} part, {rows['label'].mean():.1%} of them 1"


def _by_row(
    protocol: str,
    about: str,
    held_out: pd.DataFrame,
    scores: np.ndarray,
    resamples: int,
    seed: int,
    **more: np.ndarray,
) -> Evaluation:
    users = held_out["user"].to_numpy()
    rows = {"user": users, "label": held_out["label"].to_numpy(), "score": scores, **more}
    statistics = row_statistics(protocol, rows)
    metrics = {
        name: cluster_interval(statistic, users, resamples=resamples, seed=seed)
        for name, statistic in statistics.items()
    }
    return Evaluation(protocol, about, metrics, np.unique(users), statistics=statistics, rows=rows)


Protocol = Callable[[Recommender, Dataset, Part, tuple[int, ...], int, int], Evaluation]

PROTOCOLS: dict[str, Protocol] = {
    "ctr": _ctr,
    "full-ranking": _full_ranking,
    "labels": _labels,
    "ratings": _ratings,
    "sampled-ranking": _sampled_ranking,
}
