"""Ratings of held-out interactions, each from what was known before its part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.evaluation.protocols.base import PROTOCOLS, RowProtocol

if TYPE_CHECKING:
    import numpy as np

    from zoo.config import Config
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender


class Ratings(RowProtocol):
    """The ratings of held-out interactions, which the scores predict on the same scale."""

    name = "ratings"
    question = "How far are the scores from held-out ratings?"
    kind = "ratings"
    headline = "rmse"
    monitored = "rmse"
    precedence = 4

    def is_default(self, model: Recommender, config: Config, dataset: Dataset, part: Part) -> bool:
        """It is the default if the ratings were the targets of training."""
        return model.scores_are_ratings

    def misfit(self, model: Recommender, dataset: Dataset, part: Part) -> str | None:
        """The scores must be ratings."""
        if model.scores_are_ratings:
            return None
        return (
            f"Protocol {self.name!r} needs a model whose scores are ratings. Train with "
            "train.options.feedback=explicit, or evaluate with --protocol full-ranking."
        )

    def about(self, rows: Mapping[str, np.ndarray], part: Part) -> str:
        """The number of ratings."""
        return f"{len(rows['label']):,} held-out ratings of the {part} part."


PROTOCOLS.register(Ratings())
