"""The files of MovieLens 1M, which two named datasets are made of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.download import Archive
from zoo.data.movielens import FILES_AT, URL, prepare_movies, read_plain
from zoo.data.table import Table
from zoo.errors import UserError
from zoo.files import read_json

ARCHIVE = Archive("ml-1m", f"{FILES_AT}ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906", URL)
FILES = ("ratings.dat", "users.dat", "movies.dat")
ABSTRACTS = "dbpedia_abstracts.json"


def ratings_1m(folder: Path) -> Table:
    """The ratings, as they were written."""
    return read_plain(folder / "ratings.dat", "::", ["user", "item", "rating", "timestamp"])


def prepare_1m(folder: Path, ratings: Table, options: dict[str, object]) -> Dataset:
    """Prepares ratings with what is known of the users and movies."""
    users = read_plain(folder / "users.dat", "::", ["user", "gender", "age", "occupation", "zip"])
    items = read_plain(folder / "movies.dat", "::", ["item", "title", "genres"])
    year = items.frame["title"].str.extract(r"\((\d{4})\)\s*$")[0].fillna("")
    items = Table(_with_abstracts(items.frame.assign(year=year), folder), items.name)
    known = {"age": "categorical", **({"abstract": "text"} if "abstract" in items.frame else {})}
    return prepare_movies(ratings, users, items, options, known)


def _with_abstracts(movies: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The movies with what DBpedia says of them, where `dbpedia_abstracts.json` is in the folder or in one beside it.

    The file maps movie ids to English abstracts: https://github.com/asash/ml1m_dbpedia_abstracts.
    """
    for file in (folder / ABSTRACTS, folder.absolute().parent / "ml-1m-text" / ABSTRACTS):
        if file.is_file():
            abstracts = read_json(file, "folder of abstracts")
            if not isinstance(abstracts, dict):
                raise UserError(f"{file}: expected a mapping of movie ids to abstracts. Put the original file there.")
            return movies.assign(abstract=[abstracts.get(str(item), "") for item in movies["item"]])
    return movies
