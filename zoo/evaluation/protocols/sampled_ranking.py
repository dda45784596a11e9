"""The ranking against candidates that the data lists, to reproduce papers that sample negatives.

Such figures say little about the ranking of the whole catalogue (Krichene and Rendle, 2020,
doi:10.1145/3394486.3403226). They serve only to compare with papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.evaluation.protocols.base import PROTOCOLS, RankingProtocol

if TYPE_CHECKING:
    import numpy as np

    from zoo.config import Config
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender


class SampledRanking(RankingProtocol):
    """The new items of every user against the candidates that the data lists for that user."""

    name = "sampled-ranking"
    question = "Where do a user's new items stand among the candidates that the data lists?"
    headline = "hr"
    monitored = "ndcg"
    precedence = 1

    def is_default(self, model: Recommender, config: Config, dataset: Dataset, part: Part) -> bool:
        """It is the default if the data lists candidates for the part, because its paper ranks these."""
        return part in dataset.candidates

    def misfit(self, model: Recommender, dataset: Dataset, part: Part) -> str | None:
        """The data must list candidates."""
        if part in dataset.candidates:
            return None
        return (
            f"Protocol '{self.name}' needs a list of candidates for every user, and {dataset.name} has none "
            f"for the {part} part. Evaluate by 'full-ranking', or use a dataset that has them, such as ml-1m-ncf."
        )

    def difference(self, dataset: Dataset, other: Dataset, part: Part) -> str | None:
        """The candidates must be the same."""
        import numpy as np

        candidates, other_candidates = (one.candidates.get(part) for one in (dataset, other))
        # Data without candidates is refused elsewhere, because the protocol does not fit it.
        if candidates is None or other_candidates is None:
            is_alike = candidates is other_candidates
        else:
            is_alike = np.array_equal(candidates, other_candidates)
        return None if is_alike else "the candidates that held-out items are ranked against."

    def per_user(
        self, model: Recommender, dataset: Dataset, part: Part, ks: Sequence[int], with_context: bool
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The metrics that `per_user_sampled_ranking` gives."""
        from zoo.evaluation.sampled import per_user_sampled_ranking

        return per_user_sampled_ranking(model, dataset, part, ks, with_context)

    def about(self, users: np.ndarray, dataset: Dataset, part: Part) -> str:
        """The number of users and of candidates, and what the figures are good for."""
        number = dataset.candidates[part].shape[1]
        return (
            f"{len(users):,} users; each one's new items of the {part} part against {number} candidates listed in the "
            "data, a new item last among equal scores. This protocol is sampled: it serves only to reproduce papers, "
            "and its figures do not tell how the whole catalogue is ranked."
        )


PROTOCOLS.register(SampledRanking())
