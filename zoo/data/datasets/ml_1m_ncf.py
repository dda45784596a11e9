"""MovieLens 1M in the split of NCF (He et al., 2017, arXiv:1708.05031)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arrays import load_arrays
from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.movielens import TERMS, URL, pairs_of, split_as_given
from zoo.data.movielens_1m import ARCHIVE, FILES, prepare_1m, ratings_1m
from zoo.errors import UserError

NCF = "https://github.com/hexiangnan/neural_collaborative_filtering/tree/master/Data"
NCF_ARRAYS = ("train_user", "train_item", "test_user", "test_item", "test_negative", "item_to_movieid")


class Ml1mNcf(NamedDataset):
    """MovieLens 1M in the split of NCF: each user's last item against 99 others; the rest trains."""

    name = "ml-1m-ncf"
    terms = TERMS
    url = URL

    def load(self, *, data_root: str | Path | None = None, **options: Any) -> Dataset:
        """See `NamedDataset.load`."""
        folder = ARCHIVE.folder(FILES, data_root)
        ratings = ratings_1m(folder)
        file, split = _ncf_split(folder, ratings.frame["item"].unique().astype(np.int64))
        users, movies = split["test_user"] + 1, split["item_to_movieid"]
        test = pairs_of(users, movies[split["test_item"]])
        train = pairs_of(split["train_user"] + 1, movies[split["train_item"]]) if "train_user" in split else None
        ratings = split_as_given(ratings, train, test, file, options)
        data = prepare_1m(folder, ratings, {"name": self.name, **options})
        negatives = data.vocabularies["item"].index(movies[split["test_negative"]].ravel())
        candidates = np.zeros((data.num_users, split["test_negative"].shape[1]), np.int32)
        candidates[data.vocabularies["user"].index(users)] = negatives.reshape(len(users), -1)
        return dataclasses.replace(data, candidates={"test": candidates})


def _ncf_split(folder: Path, movies: np.ndarray) -> tuple[str, dict[str, np.ndarray]]:
    """The file of NCF's split and its arrays. They number users and items from 0, items as they come in the ratings.

    The archive lists the pairs to train on; beside the original file they are all that is not held out.
    """
    archive, original = folder / "ncf_loo.npz", folder / "ml-1m.test.negative"
    file = archive if archive.is_file() else original
    if not file.is_file():
        raise UserError(f"ml-1m-ncf: {folder} lacks {original.name}. Put it there from {NCF}.")
    split = _read_ncf_archive(archive) if file == archive else {**_read_ncf(original), "item_to_movieid": movies}
    highest = max(int(split[name].max(initial=0)) for name in split if name.endswith(("_item", "_negative")))
    if highest >= len(split["item_to_movieid"]):
        rated = len(split["item_to_movieid"])
        raise UserError(
            f"{file}: names item {highest}, but there are {rated} rated movies. Put the original file there."
        )
    return file.name, split


def _read_ncf_archive(path: Path) -> dict[str, np.ndarray]:
    split = {name: values.astype(np.int64) for name, values in load_arrays(path).items()}
    lacking = [name for name in NCF_ARRAYS if name not in split]
    if lacking:
        raise UserError(f"{path}: lacks {', '.join(lacking)}. Put the original file there.")
    return split


def _read_ncf(path: Path) -> dict[str, np.ndarray]:
    """Lines of a user, the held-out item and the negatives: `(0,25)`, then 99 numbers."""
    lines = path.read_text(encoding="latin-1").splitlines()
    try:
        numbers = np.array([re.findall(r"\d+", line) for line in lines if line], np.int64)
        return {"test_user": numbers[:, 0], "test_item": numbers[:, 1], "test_negative": numbers[:, 2:]}
    except (ValueError, IndexError) as error:
        raise UserError(
            f"{path}: expected lines of (user,item) and as many items on each. Put the original file there."
        ) from error


DATASETS.register(Ml1mNcf())
