"""What to try where a run is no better than popularity, told from its settings and its course."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from zoo.config import Config
from zoo.errors import UserError
from zoo.evaluation.differences import BETTER
from zoo.evaluation.evaluation import Margin
from zoo.evaluation.metrics import LOSS, METRICS, base_name, gain
from zoo.evaluation.protocols import PROTOCOLS
from zoo.registry import Spec, spec


def advised(margin: Margin, config: Config, history: Sequence[dict[str, float]]) -> Margin:
    """A margin with what to try, if the run is not better than popularity.

    Args:
        margin: The run beside popularity.
        config: Its settings.
        history: Its epochs.
    """
    if margin.verdict == BETTER:
        return margin
    return dataclasses.replace(margin, advice=tuple(_advice(config, history)))


def _advice(config: Config, history: Sequence[dict[str, float]]) -> Iterator[str]:
    try:
        known = spec(config.model)
    except UserError:
        return  # The file of an architecture of one's own may be gone.
    if known.not_meant_for:
        yield f"{known.name} is not meant for {known.not_meant_for}."
    yield from _advice_on_training(config, history) if known.objective else _advice_on_solving(known)
    yield "Few interactions a user or item are learnt best by ials or itemknn."


def _advice_on_solving(known: Spec) -> Iterator[str]:
    if known.hparams:
        yield f"Try other hparams: {', '.join(list(known.hparams)[:4])}."


def _advice_on_training(config: Config, history: Sequence[dict[str, float]]) -> Iterator[str]:
    rate = config.train.learning_rate
    values = _monitored(config, history)
    if not values:
        yield "Hold out a validation part, so that the best epoch is kept."
        return
    best = values.index(max(values)) + 1
    if best == len(values) == config.train.epochs:
        yield f"The last epoch was the best: try train.epochs={2 * config.train.epochs}."
    elif best <= 2:
        yield f"Epoch {best} was the best: try train.learning_rate={rate / 3:.1g}, or train.weight_decay=0.01."
    else:
        yield f"Epoch {best} of {len(values)} was the best: try train.weight_decay=0.01, or train.objective=bpr."


def _monitored(config: Config, history: Sequence[dict[str, float]]) -> list[float]:
    """The values of the metric that early stopping watched, as gains, so that more is better."""
    watched = {protocol.monitored for protocol in PROTOCOLS.values()}
    names = [name for name in (history[0] if history else {}) if name != LOSS and base_name(name) in watched]
    name = config.train.monitor or next(iter(names), LOSS)
    # The file of a metric of one's own may be gone.
    if name == LOSS or base_name(name) not in METRICS:
        return []
    # Those of a refit are not validated.
    return [gain(name, epoch[name], 0) for epoch in history if name in epoch and epoch.get("refit") != 1]
