"""Next item by gBCE: a smaller weight of positives makes up for the negatives left out by sampling."""

from __future__ import annotations

from zoo.data.dataset import Dataset
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES
from zoo.objectives.gbce import positive_factor
from zoo.objectives.next_item_bce import NextItemBCE
from zoo.schema import FIRST_KNOWN


@OBJECTIVES.register
class NextItemGBCE(NextItemBCE):
    """Generalised binary cross-entropy at every position (gSASRec, Petrov and Macdonald, 2023, arXiv:2308.07192).

    Args:
        model: The recommender to train: towers with `positions`.
        dataset: The prepared data, with timestamps.
        negatives: Uniform negatives a position, or all other items of a smaller catalogue.
        t: See `GBCE`.
        shared: See `NextItemBCE`; at most all items of the catalogue.
    """

    name = "next_item_gbce"

    def __init__(
        self, model: Recommender, dataset: Dataset, negatives: int = 256, t: float = 0.75, shared: int = 256
    ) -> None:
        known = dataset.num_items - FIRST_KNOWN
        negatives = min(negatives, known - 1)
        super().__init__(model, dataset, negatives, shared=min(shared, known))
        self._positive_factor = positive_factor(negatives, t, self._events.num_items)
