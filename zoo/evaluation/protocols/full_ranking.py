"""The ranking of the whole catalogue, the default: what a recommender does in production."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.evaluation.protocols.base import PROTOCOLS, RankingProtocol
from zoo.schema import FIRST_KNOWN

if TYPE_CHECKING:
    import numpy as np

    from zoo.config import Config
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender


class FullRanking(RankingProtocol):
    """The new items of every user against the whole catalogue, minus what the user has seen."""

    name = "full-ranking"
    question = "Where do a user's new items stand in the ranking of the whole catalogue?"
    headline = "ndcg"
    monitored = "ndcg"

    def is_default(self, model: Recommender, config: Config, dataset: Dataset, part: Part) -> bool:
        """It is the default of every model that no other protocol claims, because every model ranks."""
        return True

    def per_user(
        self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], with_context: bool
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The metrics that `per_user_ranking` gives."""
        from zoo.evaluation.ranking import per_user_ranking

        return per_user_ranking(model, dataset, part, ks, with_context)

    def about(self, users: np.ndarray, dataset: Dataset, part: Part) -> str:
        """The number of users and of items, and what is left out."""
        return (
            f"{len(users):,} users; each one's new items of the {part} part against the whole catalogue "
            f"({dataset.num_items - FIRST_KNOWN:,} items) minus what the user has seen."
        )


PROTOCOLS.register(FullRanking())
