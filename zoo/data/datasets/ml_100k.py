"""MovieLens 100K (Harper and Konstan, 2015)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.download import Archive
from zoo.data.movielens import FILES_AT, TERMS, URL, pairs_of, prepare_movies, read_plain, split_as_given
from zoo.data.readers import Table
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
        columns = ["user", "item", "rating", "timestamp"]
        ratings = read_plain(folder / "u.data", "\t", columns)
        if fold:
            frames = [read_plain(folder / file, "\t", columns).frame for file in of_fold]
            train, test = (pairs_of(frame["user"], frame["item"]) for frame in frames)
            ratings = split_as_given(ratings, train, test, " and ".join(of_fold), options)
        users = read_plain(folder / "u.user", "|", ["user", "age", "gender", "occupation", "zip"])
        columns = ["item", "title", "released", "video", "url"]
        items = read_plain(folder / "u.item", "|", [*columns, *GENRES])
        frame = items.frame
        is_of_genre = (frame[list(GENRES)] == "1").to_numpy()
        genres = np.array(GENRES)
        frame = frame[["item", "title"]].assign(
            year=frame["released"].str[-4:],
            genres=["|".join(genres[row]) for row in is_of_genre],
        )
        items = Table(frame, items.name)
        return prepare_movies(ratings, users, items, {"name": self.name, **options})


DATASETS.register(Ml100k())
