"""How examples are made from interactions and what loss they get, one objective a file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from zoo.data.dataset import Dataset
from zoo.errors import UserError, check_like, unknown_name
from zoo.objectives.base import Objective
from zoo.objectives.next_item import NextItem
from zoo.objectives.pointwise import Pointwise
from zoo.objectives.reconstruction import Reconstruction
from zoo.recommender import Recommender

__all__ = ["OBJECTIVES", "Objective", "make_objective"]

OBJECTIVES: dict[str, type[Objective]] = {
    "next_item": NextItem,
    "pointwise": Pointwise,
    "reconstruction": Reconstruction,
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
    if name not in OBJECTIVES:
        raise unknown_name("objective", name, OBJECTIVES)
    kind = OBJECTIVES[name]
    valid = {option.name: option.default for option in list(inspect.signature(kind).parameters.values())[2:]}
    for option, value in options.items():
        if option not in valid:
            raise unknown_name(f"option of objective {name!r}", option, valid)
        check_like(f"option {option!r} of objective {name!r}", value, valid[option])
    if not isinstance(model, kind.families):
        families = " or ".join(family.__name__ for family in kind.families)
        raise UserError(
            f"Objective {name!r} trains {families} architectures; {model.architecture!r} is {type(model).__name__}."
        )
    return kind(model, dataset, **options)
