"""Labels of 0 and 1 in the order of time, as click-through rates are predicted in production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.evaluation.protocols.base import PROTOCOLS
from zoo.evaluation.protocols.labels import Labels, said_of_labels

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from zoo.config import Config
    from zoo.data.dataset import Dataset, Part
    from zoo.families import Recommender


class ClickThroughRate(Labels):
    """The labels of held-out interactions, each from all that its user did before it."""

    name = "ctr"
    question = "How well do the scores tell labels of 1 from those of 0, asked in the order of time?"
    columns = ("is_cold",)
    precedence = 3

    def is_default(self, model: Recommender, config: Config, dataset: Dataset, part: Part) -> bool:
        """It is the default if the labels were the targets, they are split in time, and the model reads histories."""
        reads_histories = "history" in model.query_names
        return reads_histories and dataset.is_split_in_time and super().is_default(model, config, dataset, part)

    def misfit(self, model: Recommender, dataset: Dataset, part: Part) -> str | None:
        """The interactions must have a time, and labels of 0 and 1."""
        if dataset.is_ordered:
            return super().misfit(model, dataset, part)
        return (
            f"Protocol {self.name!r} asks about interactions in the order of time, and {dataset.name} has no "
            "timestamps. Add a timestamp column, or evaluate with --protocol labels."
        )

    def difference(self, dataset: Dataset, other: Dataset, part: Part) -> str | None:
        """The cold items must be the same."""
        trained, other_trained = (set(one.part("train")["item"]) for one in (dataset, other))
        if trained == other_trained:
            return None
        return (
            f"the items they were trained on ({len(trained):,} and {len(other_trained):,}). "
            "Split both alike: same split, options and seed."
        )

    def scores(self, model: Recommender, dataset: Dataset, rows: pd.DataFrame, part: Part) -> np.ndarray:
        """The logit of every interaction from all that its user did before it, in whichever part that is."""
        from zoo.evaluation.scores import score_rows_in_order

        return score_rows_in_order(model, dataset, rows)

    def further_columns(self, dataset: Dataset, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """Whether the item of every interaction is cold, in no training interaction."""
        return {"is_cold": ~rows["item"].isin(dataset.part("train")["item"]).to_numpy()}

    def about(self, rows: Mapping[str, np.ndarray], part: Part) -> str:
        """The number of labels, how many are 1 and how many are about cold items."""
        return (
            f"{said_of_labels(rows, part)}, each from all that its user did before that very interaction; "
            f"{rows['is_cold'].sum():,} are about cold items, which are in no training interaction."
        )


PROTOCOLS.register(ClickThroughRate())
