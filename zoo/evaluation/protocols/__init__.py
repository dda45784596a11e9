"""Named protocols: what is asked of a model, on which interactions, and what the answer is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.errors import UserError, unknown_name
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.interval import Resampling
from zoo.evaluation.metrics import base_name
from zoo.evaluation.protocols.base import PROTOCOLS, Protocol, RankingProtocol, RowProtocol

if TYPE_CHECKING:
    from zoo.config import Config, NegativesConfig
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Protocol",
    "RankingProtocol",
    "RowProtocol",
    "default_protocol",
    "evaluate",
    "is_headline",
    "metric_names",
]


def default_protocol(model: Recommender, config: Config, dataset: Dataset, part: Part = "test") -> str:
    """The protocol that asks about a held-out part what a model was trained for.

    Args:
        model: The recommender.
        config: The settings that it was trained with.
        dataset: The prepared data.
        part: The held-out part.

    Returns:
        The name of the protocol.
    """
    fitting = [protocol for protocol in PROTOCOLS.values() if protocol.is_default(model, config, dataset, part)]
    return max(fitting, key=lambda protocol: protocol.precedence).name


def metric_names(protocol: str, ks: Sequence[int]) -> list[str]:
    """The metrics a protocol gives.

    Args:
        protocol: A named protocol.
        ks: Where the ranking metrics are cut.

    Returns:
        Names such as `"ndcg@10"`, or `"rmse"` where nothing is cut.

    Raises:
        UserError: With the near names, if there is no such protocol.

    Example:

    >>> metric_names("ratings", ks=(10,))
    ['rmse', 'mae']
    """
    return PROTOCOLS[protocol].metric_names(ks)


def is_headline(protocol: str, metric: str) -> bool:
    """Whether a metric such as `"ndcg@10"` stands for its protocol.

    Example:

    >>> is_headline("full-ranking", "ndcg@10"), is_headline("full-ranking", "hr@10")
    (True, False)
    """
    return base_name(metric) == PROTOCOLS[protocol].headline


def evaluate(
    model: Recommender,
    dataset: Dataset,
    protocol: str = "full-ranking",
    part: Part = "test",
    ks: Sequence[int] = (10,),
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    negatives: NegativesConfig | None = None,
) -> Evaluation:
    """Evaluates a model by a named protocol.

    Args:
        model: The recommender.
        dataset: The prepared data.
        protocol: A name of `PROTOCOLS`, e.g. `"full-ranking"` or `"labels"`.
        part: The held-out part, `"valid"` or `"test"`.
        ks: Where the ranking metrics are cut.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.
        level: The share of resamples inside an interval.
        negatives: How candidates are drawn if the protocol ranks some and the data lists none; by default 100 uniform
            ones.

    Returns:
        An `Evaluation`.

    Raises:
        UserError: If the protocol is unknown, or the data or the model does not fit it.

    Example:

    >>> import zoo
    >>> from zoo.data import load_dataset
    >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
    >>> evaluation = evaluate(zoo.build("mf", data.schema), data, ks=(5,), resamples=10, level=0.9)
    >>> evaluation.metrics["ndcg@5"].level
    0.9
    """
    from zoo.config import NegativesConfig
    from zoo.evaluation.ranking import KNOWN_BEFORE

    chosen = PROTOCOLS[protocol]
    if part not in KNOWN_BEFORE:
        raise unknown_name("part", part, KNOWN_BEFORE)
    if dataset.part(part).empty:
        raise UserError(f"The {part} part of {dataset.name} is empty. Choose a split that holds some out.")
    dataset = chosen.prepared(dataset, part, negatives or NegativesConfig())
    reason = chosen.misfit(model, dataset, part) or chosen.misfit_of_ks(dataset, part, ks)
    if reason is not None:
        raise UserError(reason)
    return chosen.evaluate(model, dataset, part, tuple(ks), Resampling(resamples=resamples, level=level, seed=seed))
