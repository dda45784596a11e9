"""How examples are made from interactions and what loss they get, one objective a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.data.dataset import Dataset
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError, unknown_name
from zoo.families import Recommender
from zoo.objectives.base import EventObjective, Objective
from zoo.objectives.bpr import BPR
from zoo.objectives.full_softmax import FullSoftmax
from zoo.objectives.gbce import GBCE
from zoo.objectives.in_batch_softmax import InBatchSoftmax
from zoo.objectives.item_reconstruction import ItemReconstruction
from zoo.objectives.next_item import NextItem
from zoo.objectives.pointwise import Pointwise
from zoo.objectives.reconstruction import Reconstruction
from zoo.objectives.sampled_softmax import SampledSoftmax
from zoo.options import check_options, options_of

__all__ = ["OBJECTIVES", "Objective", "make_objective"]

OBJECTIVES: dict[str, type[Objective]] = {
    "bpr": BPR,
    "full_softmax": FullSoftmax,
    "gbce": GBCE,
    "in_batch_softmax": InBatchSoftmax,
    "item_reconstruction": ItemReconstruction,
    "next_item": NextItem,
    "pointwise": Pointwise,
    "reconstruction": Reconstruction,
    "sampled_softmax": SampledSoftmax,
}


def make_objective(name: str, model: Recommender, dataset: Dataset, options: Mapping[str, Any]) -> Objective:
    """The named objective over the training part of a dataset.

    Args:
        name: A name of `OBJECTIVES`.
        model: The recommender to train.
        dataset: The prepared data.
        options: Options of the objective, e.g. `{"negatives": 8}`.

    Returns:
        An `Objective`.

    Raises:
        UserError: For an unknown name or option, or a model the objective cannot train.
    """
    _check_name(name)
    if isinstance(dataset, StreamedDataset):
        check_streamable(name)
    kind = OBJECTIVES[name]
    check_options(options, options_of(kind, without=("model", "dataset")), of=f"objective {name!r}")
    if not isinstance(model, kind.families):
        families = " or ".join(family.family for family in kind.families)
        raise UserError(
            f"Objective {name!r} trains the family {families}; {model.architecture!r} is of the family {model.family}."
        )
    return kind(model, dataset, **options)


def streamable_objectives() -> list[str]:
    """The objectives whose examples are single interactions, so that they train on streamed data."""
    return [name for name, kind in OBJECTIVES.items() if issubclass(kind, EventObjective)]


def check_streamable(name: str) -> None:
    """Raises a `UserError` for an objective that is unknown or cannot be trained on streamed data."""
    _check_name(name)
    if name not in streamable_objectives():
        raise UserError(
            f"Objective {name!r} needs all that a user met at once, which streamed data cannot give. Choose one of "
            f"single interactions by train.objective: {', '.join(streamable_objectives())}."
        )


def _check_name(name: str) -> None:
    if name not in OBJECTIVES:
        raise unknown_name("objective", name, OBJECTIVES)
