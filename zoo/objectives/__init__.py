"""How examples are made from interactions and what loss they get, one objective a file."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.data.dataset import Dataset
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Objective
from zoo.options import check_options, options_of, plain

__all__ = ["OBJECTIVES", "Objective", "check_streamable", "make_objective", "streamable_objectives"]


def make_objective(name: str, model: Recommender, dataset: Dataset, options: Mapping[str, object]) -> Objective:
    """The named objective over the training part of a dataset.

    Args:
        name: A name of `OBJECTIVES`.
        model: The recommender to train.
        dataset: The prepared data.
        options: Options of the objective, e.g. `{"negatives": 8}`.

    Returns:
        An `Objective`.

    Raises:
        UserError: For an unknown name or option, a value of another type, or a model the objective cannot train.

    Example:

    ```python
    objective = make_objective("bpr", model, dataset, {"negatives": 8})
    ```
    """
    kind = OBJECTIVES[name]
    if isinstance(dataset, StreamedDataset):
        check_streamable(name)
    check_options(options, options_of(kind, without=("model", "dataset")), of=f"objective {name!r}")
    if not isinstance(model, kind.families):
        families = " or ".join(family.family for family in kind.families)
        raise UserError(
            f"Objective {name!r} trains the family {families}; {model.architecture!r} is of the family {model.family}. "
            "Choose another by train.objective, or leave it out."
        )
    return kind(model, dataset, **{option: plain(value) for option, value in options.items()})


def streamable_objectives() -> list[str]:
    """The names of the objectives that train on streamed data, because their examples are single interactions."""
    return [name for name, kind in OBJECTIVES.items() if kind.is_streamable]


def check_streamable(name: str) -> None:
    """Raises a `UserError` for an objective that is unknown or cannot be trained on streamed data."""
    if not OBJECTIVES[name].is_streamable:
        raise UserError(
            f"Objective {name!r} needs all that a user has seen at once, which streamed data cannot give. Choose one "
            f"of single interactions by train.objective: {', '.join(streamable_objectives())}."
        )
