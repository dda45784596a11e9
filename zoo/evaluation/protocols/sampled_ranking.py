"""The ranking against candidates that the data lists or that are drawn, to reproduce papers that sample negatives.

Such figures say little about the ranking of the whole catalogue (Krichene and Rendle, 2020,
doi:10.1145/3394486.3403226). They serve only to compare with papers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.evaluation.protocols.base import PROTOCOLS, RankingProtocol
from zoo.schema import PADDING

if TYPE_CHECKING:
    import numpy as np

    from zoo.config import Config, NegativesConfig
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender


class SampledRanking(RankingProtocol):
    """The new items of every user against the candidates that the data lists for that user, or that are drawn."""

    name = "sampled-ranking"
    question = "Where do a user's new items stand among candidates, listed in the data or drawn?"
    headline = "hr"
    monitored = "ndcg"
    precedence = 1

    def is_default(self, model: Recommender, config: Config, dataset: Dataset, part: Part) -> bool:
        """It is the default if the data lists candidates for the part, because its paper ranks these."""
        return part in dataset.candidates

    def prepared(self, dataset: Dataset, part: Part, negatives: NegativesConfig) -> Dataset:
        """The dataset with candidates, which are drawn where the data lists none."""
        from zoo.evaluation.negatives import draw_candidates

        if part in dataset.candidates:
            return dataset
        drawn = draw_candidates(dataset, part, negatives)
        how = {"uniform": "uniformly", "popularity": "by popularity in the training part"}[negatives.by]
        rule = f"drawn {how} (seed {negatives.seed}) from the items that the user has in no part"
        return dataclasses.replace(
            dataset, candidates={**dataset.candidates, part: drawn}, drawn={**dataset.drawn, part: rule}
        )

    def misfit_of_ks(self, dataset: Dataset, part: Part, ks: Sequence[int]) -> str | None:
        """A ranking cannot be cut below its last candidate."""
        number = dataset.candidates[part].shape[1]
        if max(ks) <= number:
            return super().misfit_of_ks(dataset, part, ks)
        return (
            f"evaluate.ks has {max(ks)}, and only {number} candidates are ranked. "
            f"Choose a smaller one, e.g. --set evaluate.ks=[{min(number, 5)}]."
        )

    def difference(self, dataset: Dataset, other: Dataset, part: Part) -> str | None:
        """The candidates must be the same."""
        import numpy as np

        candidates, other_candidates = (one.candidates.get(part) for one in (dataset, other))
        # Where neither data lists any, the same are drawn for both.
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
        candidates = dataset.candidates[part]
        whence = "listed in the data"
        if part in dataset.drawn:
            whence = dataset.drawn[part] + _said_of_fewer(candidates[users])
        return (
            f"{len(users):,} users; each one's new items of the {part} part against {candidates.shape[1]} candidates "
            f"{whence}, a new item last among equal scores. This protocol is sampled: it serves only to reproduce "
            "papers, and its figures do not tell how the whole catalogue is ranked."
        )


def _said_of_fewer(candidates: np.ndarray) -> str:
    """How many users have fewer candidates, because they have seen nearly all items."""
    fewer = int((candidates == PADDING).any(axis=1).sum())
    return f" ({fewer:,} users have fewer, because they have seen nearly all items)" if fewer else ""


PROTOCOLS.register(SampledRanking())
