"""gBCE: pointwise, with a smaller weight for positives that makes up for the negatives left out by sampling."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES
from zoo.objectives.pointwise import Pointwise
from zoo.schema import FIRST_KNOWN


@OBJECTIVES.register
class GBCE(Pointwise):
    """Generalised binary cross-entropy (Petrov and Macdonald, 2023, arXiv:2308.07192).

    Cross-entropy with few of many negatives makes a model too sure of its positives. Here a positive of
    score s gets `-log(sigmoid(s) ** beta)`, with `beta = 1 - t (1 - rate)`, where `rate` is the share of all
    negatives that is sampled.

    Args:
        model: The recommender to train.
        dataset: The prepared data; interactions with a label above 0 are positives.
        negatives: Uniform negatives a positive.
        t: The calibration, from 0 to 1. At 0 the loss is cross-entropy. At 1 the scores tell how likely each item
            is.
        shared: See `Pointwise`.
        avoid_seen: See `Pointwise`.
    """

    name = "gbce"

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        negatives: int = 256,
        t: float = 0.75,
        shared: int = 0,
        avoid_seen: bool = True,
    ) -> None:
        super().__init__(model, dataset, "implicit", negatives, shared=shared, avoid_seen=avoid_seen)
        self._positive_factor = positive_factor(negatives, t, self._events.num_items)

    @classmethod
    def most_items(cls, known: int) -> dict[str, int]:
        """Also the negatives of one positive, which are all others at most."""
        return {**super().most_items(known), "negatives": known - 1}

    @classmethod
    def learns_labels(cls, options: Mapping[str, object], dataset: Dataset) -> bool:
        """Never, because interactions are positives whatever the labels of others."""
        return False


def positive_factor(negatives: int, t: float, num_items: int) -> float:
    """The power `beta` of a positive's chance, which is what its logarithm weighs.

    Args:
        negatives: Negatives a positive.
        t: The calibration, from 0 to 1.
        num_items: Rows of the item table.

    Raises:
        UserError: If the calibration is out of range, or there are not so many negatives.

    Example:

    >>> positive_factor(5, 1.0, 13)
    0.5
    """
    if not 0 <= t <= 1:
        raise UserError(f"t must be between 0 and 1. Received: {t}.")
    others = num_items - FIRST_KNOWN - 1
    if negatives > others:
        raise UserError(
            f"negatives must be at most {others}, the items of the catalogue minus one. Received: {negatives}."
        )
    return 1 - t * (1 - negatives / others)
