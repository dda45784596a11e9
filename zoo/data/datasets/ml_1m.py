"""MovieLens 1M (Harper and Konstan, 2015)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.movielens import TERMS, URL
from zoo.data.movielens_1m import ARCHIVE, FILES, prepare_1m, ratings_1m
from zoo.data.readers import Table


class Ml1m(NamedDataset):
    """MovieLens 1M: 6,040 users, 3,706 rated movies. `least_rating` leaves out all ratings below it."""

    name = "ml-1m"
    terms = TERMS
    url = URL

    def load(
        self, *, data_root: str | Path | None = None, least_rating: float | None = None, **options: Any
    ) -> Dataset:
        """See `NamedDataset.load`."""
        folder = ARCHIVE.folder(FILES, data_root)
        ratings = ratings_1m(folder)
        if least_rating is not None:
            # What is no number stays, so that it is named where ratings are prepared.
            is_low = pd.to_numeric(ratings.frame["rating"], errors="coerce") < least_rating
            ratings = Table(ratings.frame[~is_low], ratings.name)
        return prepare_1m(folder, ratings, {"name": self.name, **options})


DATASETS.register(Ml1m())
