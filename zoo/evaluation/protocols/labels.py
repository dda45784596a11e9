"""Labels of 0 and 1 of held-out interactions, each from what was known before its part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.evaluation.protocols.base import PROTOCOLS, RowProtocol

if TYPE_CHECKING:
    import numpy as np

    from zoo.config import Config
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender


class Labels(RowProtocol):
    """The labels of held-out interactions, which the scores predict as logits."""

    name = "labels"
    question = "How well do the scores tell held-out labels of 1 from those of 0?"
    kind = "labels"
    headline = "auc"
    monitored = "auc"
    precedence = 2

    def is_default(self, model: Recommender, config: Config, dataset: Dataset, part: Part) -> bool:
        """It is the default if the labels were the targets of training."""
        return not model.scores_are_ratings and learns_labels(config, dataset)

    def misfit(self, model: Recommender, dataset: Dataset, part: Part) -> str | None:
        """The labels must be 0 and 1."""
        if dataset.part(part)["label"].isin((0.0, 1.0)).all():
            return None
        return (
            f"Protocol {self.name!r} needs labels of 0 and 1. Make them from ratings with data.label_threshold, "
            "or evaluate with --protocol full-ranking."
        )

    def about(self, rows: Mapping[str, np.ndarray], part: Part) -> str:
        """The number of labels, and how many are 1."""
        return f"{said_of_labels(rows, part)}."


def said_of_labels(rows: Mapping[str, np.ndarray], part: Part) -> str:
    """The number of held-out labels, and how many are 1, as the beginning of a sentence."""
    labels = rows["label"]
    return f"{len(labels):,} held-out labels of the {part} part, {labels.mean():.1%} of them 1"


def learns_labels(config: Config, dataset: Dataset) -> bool:
    """Whether the labels were the targets of training."""
    from zoo.objectives import OBJECTIVES
    from zoo.registry import spec

    name = config.train.objective or spec(config.model).objective
    # A solved architecture has no objective.
    return name in OBJECTIVES and OBJECTIVES[name].learns_labels(config.train.options, dataset)


PROTOCOLS.register(Labels())
