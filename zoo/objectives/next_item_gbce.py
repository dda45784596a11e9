"""Next item by gBCE: a smaller weight of positives makes up for the negatives left out by sampling."""

from __future__ import annotations

from zoo.data.dataset import Dataset
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES
from zoo.objectives.gbce import positive_factor
from zoo.objectives.next_item_bce import NextItemBCE


@OBJECTIVES.register
class NextItemGBCE(NextItemBCE):
    """Generalised binary cross-entropy at every position (gSASRec, Petrov and Macdonald, 2023, arXiv:2308.07192).

    Args:
        model: The recommender to train: towers with `positions`.
        dataset: The prepared data, with timestamps.
        negatives: Uniform negatives a position.
        t: See `GBCE`.
        shared: See `NextItemBCE`.
    """

    name = "next_item_gbce"

    def __init__(
        self, model: Recommender, dataset: Dataset, negatives: int = 256, t: float = 0.75, shared: int = 256
    ) -> None:
        super().__init__(model, dataset, negatives, shared=shared)
        self._positive_factor = positive_factor(negatives, t, self._events.num_items)

    @classmethod
    def most_items(cls, known: int) -> dict[str, int]:
        """Also the negatives of one positive, which are all others at most."""
        return {**super().most_items(known), "negatives": known - 1}
