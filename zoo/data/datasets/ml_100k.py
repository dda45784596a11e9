"""MovieLens 100K (Harper and Konstan, 2015)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.download import Archive
from zoo.data.movielens import FILES_AT, TERMS, URL, pairs_of, prepare_movies, read_plain, split_as_given
from zoo.data.table import Table
from zoo.errors import UserError

ARCHIVE = Archive("ml-100k", f"{FILES_AT}ml-100k.zip", "0e33842e24a9c977be4e0107933c0723", URL)
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


class Ml100k(NamedDataset):
    """MovieLens 100K: 943 users, 1,682 movies; with a fold from 1 to 5, split as its authors did."""

    name = "ml-100k"
    terms = TERMS
    url = URL

    def load(self, *, data_root: str | Path | None = None, fold: int | None = None, **options: Any) -> Dataset:
        """See `NamedDataset.load`."""
        if fold not in (None, 1, 2, 3, 4, 5):
            raise UserError(f"ml-100k: expected a fold from 1 to 5. Received: {fold!r}.")
        of_fold = (f"u{fold}.base", f"u{fold}.test") if fold else ()
        folder = ARCHIVE.folder(("u.data", "u.user", "u.item", *of_fold), data_root)
        ratings = _ratings(folder / "u.data")
        if fold:
            train, test = (_pairs(folder / file) for file in of_fold)
            ratings = split_as_given(ratings, train, test, " and ".join(of_fold), options)
        users = read_plain(folder / "u.user", "|", ["user", "age", "gender", "occupation", "zip"])
        return prepare_movies(ratings, users, _movies(folder / "u.item"), {"name": self.name, **options})


def _ratings(path: Path) -> Table:
    return read_plain(path, "\t", ["user", "item", "rating", "timestamp"])


def _pairs(path: Path) -> pd.Series:
    frame = _ratings(path).frame
    return pairs_of(frame["user"], frame["item"])


def _movies(path: Path) -> Table:
    """The movies with their year and genres, which the file has as a date and as columns of 0 and 1."""
    table = read_plain(path, "|", ["item", "title", "released", "video", "url", *GENRES])
    is_of_genre = (table.frame[list(GENRES)] == "1").to_numpy()
    genres = np.array(GENRES)
    frame = table.frame[["item", "title"]].assign(
        year=table.frame["released"].str[-4:],
        genres=["|".join(genres[row]) for row in is_of_genre],
    )
    return Table(frame, table.name)


DATASETS.register(Ml100k())
