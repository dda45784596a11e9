"""The base classes of protocols and their registry. Nothing heavy is imported, because a help text lists them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.interval import Resampling
from zoo.evaluation.metrics import Metric, metrics_of
from zoo.evaluation.metrics.base import RANKING
from zoo.registries import Registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from zoo.config import Config, NegativesConfig
    from zoo.data.dataset import Dataset, Part
    from zoo.evaluation.statistics import Statistic
    from zoo.families import Recommender


class Protocol(abc.ABC):
    """A named way to evaluate a model on a held-out part of the data.

    A protocol is a subclass of `RankingProtocol` or `RowProtocol` in a file of its own, with an instance registered by
    `PROTOCOLS.register`. Everything that depends on the protocol asks the object, so nothing else compares its name.

    Attributes:
        name: The name it is found by.
        question: The question that it asks about a model, in one line.
        kind: The kind of its metrics, e.g. `"ranking"`; see `zoo.evaluation.metrics`.
        headline: The metric that stands for it where there is room for one.
        monitored: The metric that early stopping watches by default.
        is_of_rows: Whether it asks about single interactions, so that its metrics are cut nowhere.
        columns: Columns that its rows have in addition to label and score, because some metrics read them.
        precedence: Which of several protocols is the default, if all ask what a model was trained for: the one of the
            highest precedence.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    kind: ClassVar[str]
    headline: ClassVar[str]
    monitored: ClassVar[str]
    is_of_rows: ClassVar[bool]
    columns: ClassVar[tuple[str, ...]] = ()
    precedence: ClassVar[int] = 0

    @property
    def metrics(self) -> list[Metric]:
        """Its metrics, in the order in which they are shown."""
        return metrics_of(self.kind, self.columns)

    def metric_names(self, ks: Sequence[int]) -> list[str]:
        """The metrics it gives, by names such as `"ndcg@10"` where they are cut at the ranks `ks`."""
        return self._cut([metric.name for metric in self.metrics], ks)

    def validation_names(self, ks: Sequence[int]) -> list[str]:
        """The metrics it gives between epochs."""
        return self._cut([metric.name for metric in metrics_of(self.kind)], ks)

    def popularity_names(self, ks: Sequence[int]) -> list[str]:
        """The metrics of a ranking by popularity that mean something: those that read only the order of the scores."""
        return self._cut([metric.name for metric in self.metrics if metric.is_of_order], ks)

    def monitored_name(self, ks: Sequence[int]) -> str:
        """The metric that early stopping watches by default."""
        return self._cut([self.monitored], ks)[0]

    def is_default(self, model: Recommender, config: Config, dataset: Dataset, part: Part) -> bool:
        """Whether it asks about a held-out part what a model was trained for."""
        return False

    def prepared(self, dataset: Dataset, part: Part, negatives: NegativesConfig) -> Dataset:
        """The dataset with what the protocol needs and the data lacks. It depends on no model.

        Args:
            dataset: The prepared data.
            part: The held-out part.
            negatives: How items are drawn that a user's held-out items are ranked against.

        Returns:
            A `Dataset`, by default the one given.

        Raises:
            UserError: If the data cannot give what is asked for.
        """
        return dataset

    def misfit(self, model: Recommender, dataset: Dataset, part: Part) -> str | None:
        """Why a model and a held-out part cannot be evaluated by it, and what to do; `None` if they can."""
        return None

    def misfit_of_ks(self, dataset: Dataset, part: Part, ks: Sequence[int]) -> str | None:
        """Why the metrics cannot be cut at these ranks, and what to do; `None` if they can."""
        return None

    def difference(self, dataset: Dataset, other: Dataset, part: Part) -> str | None:
        """The difference between two datasets that keeps runs from being compared by it; `None` if there is none.

        Users, items, held-out interactions and what was known before need not be looked at, because they are compared
        for every protocol.
        """
        return None

    @abc.abstractmethod
    def evaluate(
        self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], resampling: Resampling
    ) -> Evaluation:
        """Evaluates a model that fits, as the function `evaluate` does.

        Args:
            model: The recommender.
            dataset: The prepared data.
            part: The held-out part.
            ks: Where the ranking metrics are cut.
            resampling: How the intervals are made.

        Returns:
            An `Evaluation`.
        """

    @abc.abstractmethod
    def answers(self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int]) -> Evaluation:
        """What `evaluate` gives before any interval is made: users and their values, or rows and their statistics."""

    @abc.abstractmethod
    def validate(self, model: Recommender, dataset: Dataset, ks: Sequence[int]) -> dict[str, float]:
        """The metrics of the validation part between epochs, by the names of `validation_names`, without intervals."""

    @abc.abstractmethod
    def statistics(self, rows: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
        """The metrics of an evaluation as functions of row weights; those that are undefined are left out.

        Args:
            rows: What `comparable_rows` gave.
        """

    @abc.abstractmethod
    def comparable_rows(self, evaluation: Evaluation) -> dict[str, np.ndarray]:
        """What is needed of an evaluation to compare it with others: columns, one of which is `user`."""

    @abc.abstractmethod
    def asked(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The columns of `comparable_rows` that are the same for all models that were asked the same."""

    @abc.abstractmethod
    def _cut(self, names: Sequence[str], ks: Sequence[int]) -> list[str]:
        """The names of metrics, cut at the ranks `ks` where the protocol cuts them."""


class RankingProtocol(Protocol):
    """A protocol that ranks items for every user; the metrics are means over users, cut at ranks."""

    kind = RANKING
    is_of_rows = False

    @abc.abstractmethod
    def per_user(
        self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], with_context: bool
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Ranks items for every user of a part that has something to find.

        Args:
            model: The recommender.
            dataset: The prepared data.
            part: The held-out part.
            ks: Where the metrics are cut.
            with_context: Whether the context is known, or else neutral.

        Returns:
            The user indices, int `[num_users]`, and the value of every metric for each of them, float64 `[num_users]`.
        """

    @abc.abstractmethod
    def about(self, users: np.ndarray, dataset: Dataset, part: Part) -> str:
        """One sentence on what was asked, with its numbers."""

    def evaluate(
        self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], resampling: Resampling
    ) -> Evaluation:
        """Evaluates a model, once more without any context where it reads some."""
        from zoo.evaluation.bootstrap import mean_intervals

        answers, without = self.answers(model, dataset, part, ks), {}
        if any(feature.name in model.query_names for feature in dataset.schema.role("context")):
            _, per_user_without = self.per_user(model, dataset, part, ks, with_context=False)
            without = mean_intervals(per_user_without, **resampling)
        metrics = mean_intervals(answers.per_user, **resampling)
        return dataclasses.replace(answers, metrics=metrics, without_context=without)

    def answers(self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int]) -> Evaluation:
        """The users and the value of every metric for each of them."""
        users, per_user = self.per_user(model, dataset, part, ks, with_context=True)
        return Evaluation(self.name, self.about(users, dataset, part), {}, users, per_user)

    def validate(self, model: Recommender, dataset: Dataset, ks: Sequence[int]) -> dict[str, float]:
        """The means over the users of the validation part."""
        _, per_user = self.per_user(model, dataset, "valid", ks, with_context=True)
        return {name: float(values.mean()) for name, values in per_user.items()}

    def statistics(self, rows: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
        """The means over users of the values of `Evaluation.per_user`."""
        from zoo.evaluation.statistics import MeanStatistic

        return {name: MeanStatistic(values) for name, values in rows.items() if name != "user"}

    def comparable_rows(self, evaluation: Evaluation) -> dict[str, np.ndarray]:
        """A row a user."""
        return {"user": evaluation.users, **evaluation.per_user}

    def asked(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The users."""
        return {"user": rows["user"]}

    def misfit_of_ks(self, dataset: Dataset, part: Part, ks: Sequence[int]) -> str | None:
        """A ranking cannot be cut below the last item of the catalogue."""
        known = len(dataset.vocabularies["item"])
        if max(ks) <= known:
            return None
        return (
            f"evaluate.ks has {max(ks)}, and the catalogue has only {known} items. "
            f"Choose a smaller one, e.g. --set evaluate.ks=[{min(known, 5)}]."
        )

    def _cut(self, names: Sequence[str], ks: Sequence[int]) -> list[str]:
        return [f"{name}@{k}" for k in ks for name in names]


class RowProtocol(Protocol):
    """A protocol that asks about single interactions; the metrics are of rows, which are resampled by user."""

    is_of_rows = True

    def scores(self, model: Recommender, dataset: Dataset, rows: pd.DataFrame, part: Part) -> np.ndarray:
        """The score of every held-out interaction from what was known before the part, float `[num_rows]`."""
        from zoo.evaluation.scores import score_rows

        return score_rows(model, dataset, rows, part)

    @abc.abstractmethod
    def about(self, rows: Mapping[str, np.ndarray], part: Part) -> str:
        """One sentence on what was asked, with its numbers."""

    def further_columns(self, dataset: Dataset, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """The `columns` of held-out interactions, each `[num_rows]`."""
        return {}

    def statistics(self, rows: Mapping[str, np.ndarray]) -> dict[str, Statistic]:
        """The metrics of `Evaluation.rows` as functions of row weights; those that are undefined are left out."""
        from zoo.evaluation.figures import row_statistics

        return row_statistics(self.kind, rows)

    def comparable_rows(self, evaluation: Evaluation) -> dict[str, np.ndarray]:
        """A row an interaction."""
        return evaluation.rows

    def asked(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All columns except the score."""
        return {name: values for name, values in rows.items() if name != "score"}

    def evaluate(
        self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], resampling: Resampling
    ) -> Evaluation:
        """Evaluates a model on the interactions of a part; the ranks `ks` change nothing."""
        from zoo.evaluation.bootstrap import cluster_interval

        answers = self.answers(model, dataset, part, ks)
        users = answers.row_users
        metrics = {name: cluster_interval(one, users, **resampling) for name, one in answers.statistics.items()}
        return dataclasses.replace(answers, metrics=metrics)

    def answers(self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int]) -> Evaluation:
        """The rows and the metrics as functions of their weights."""
        import numpy as np

        held_out = dataset.part(part)
        users = held_out["user"].to_numpy()
        rows = {
            "user": users,
            "label": held_out["label"].to_numpy(),
            "score": self.scores(model, dataset, held_out, part),
            **self.further_columns(dataset, held_out),
        }
        about, statistics = self.about(rows, part), self.statistics(rows)
        return Evaluation(self.name, about, {}, np.unique(users), statistics=statistics, rows=rows)

    def validate(self, model: Recommender, dataset: Dataset, ks: Sequence[int]) -> dict[str, float]:
        """The metrics of label and score. Further columns are not read between epochs."""
        from zoo.evaluation.figures import row_metrics

        rows = dataset.part("valid")
        scores = self.scores(model, dataset, rows, "valid")
        return row_metrics(self.kind, {"label": rows["label"].to_numpy(), "score": scores})

    def _cut(self, names: Sequence[str], ks: Sequence[int]) -> list[str]:
        return list(names)


PROTOCOLS: Registry[Protocol] = Registry("protocol", "zoo.evaluation.protocols", "zoo.protocols")
