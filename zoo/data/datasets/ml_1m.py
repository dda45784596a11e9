"""MovieLens 1M (Harper and Konstan, 2015)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.movielens import TERMS, URL
from zoo.data.movielens_1m import ARCHIVE, FILES, prepare_1m, ratings_1m
from zoo.data.table import Table


class Ml1m(NamedDataset):
    """MovieLens 1M: 6,040 users, 3,706 rated movies. `least_rating` leaves out all ratings below it.

    Ratings of the same second stay in the order of the file. With `ties_by_item` they follow the movies' numbers, as in
    experiments that sort by time and movie. A model can learn this order, so its figures are higher.
    """

    name = "ml-1m"
    terms = TERMS
    url = URL

    def load(
        self,
        *,
        data_root: str | Path | None = None,
        least_rating: float | None = None,
        ties_by_item: bool = False,
        **options: Any,
    ) -> Dataset:
        """See `NamedDataset.load`."""
        folder = ARCHIVE.folder(FILES, data_root)
        ratings = ratings_1m(folder)
        if least_rating is not None:
            # What is no number stays, so that it is named where ratings are prepared.
            is_low = _as_numbers(ratings.frame["rating"]) < least_rating
            ratings = Table(ratings.frame[~is_low], ratings.name)
        if ties_by_item:
            ratings = Table(ratings.frame.sort_values(["timestamp", "item"], key=_as_numbers), ratings.name)
        return prepare_1m(folder, ratings, {"name": self.name, **options})


def _as_numbers(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce")


DATASETS.register(Ml1m())
