"""The reading that all files of MovieLens have in common."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.preparation import prepare
from zoo.data.reading import Source
from zoo.data.splits import split_and_options
from zoo.data.table import Table
from zoo.errors import UserError

FILES_AT = "https://files.grouplens.org/datasets/movielens/"
URL = "https://grouplens.org/datasets/movielens/"
TERMS = f"GroupLens's: for research, not to be sold or passed on without permission; see <{URL}>"


def pairs_of(users: Iterable[object], items: Iterable[object]) -> pd.Series:
    """User and item of every row as one text."""
    return pd.Series(users).astype(str) + " " + pd.Series(items).astype(str)


def split_as_given(
    ratings: Table, train: pd.Series | None, test: pd.Series, source: str, options: Mapping[str, object]
) -> Table:
    """The ratings with a `split` column, the ones to test on last, where they follow others of the same time.

    Args:
        ratings: All ratings.
        train: The pairs to train on, as `pairs_of` gives them; by default all others.
        test: The held-out pairs.
        source: The file that says so.
        options: What the dataset was asked for.
    """
    _check_split(options.get("split"), source)
    pairs = pairs_of(ratings.frame["user"], ratings.frame["item"])
    is_test = pairs.isin(test)
    others = pairs[~is_test]
    if is_test.sum() != len(test) or not (train is None or set(train) == set(others)):
        raise UserError(f"{ratings.name}: its ratings are not those of {source}. Put the original files there.")
    order = np.argsort(is_test.to_numpy(), kind="stable")
    frame = ratings.frame.assign(split=np.where(is_test, "test", "train")).iloc[order]
    return dataclasses.replace(ratings, frame=frame)


def _check_split(asked: object, source: str) -> None:
    """Raises a `UserError` if a split is asked for that does not keep the parts that the data gives."""
    if asked is not None and not split_and_options(asked, True)[0].keeps_parts:
        raise UserError(f"The split is given by {source}. Received another one: split={asked!r}. Leave it out.")


def prepare_movies(
    ratings: Source,
    users: Source | None,
    items: Source,
    options: dict[str, Any],
    of_columns: Mapping[str, object] | None = None,
) -> Dataset:
    """Prepares with what is known of MovieLens columns, and of further ones; what the user says of a column wins."""
    known: dict[str, object] = {"year": "numeric", "genres": {"kind": "categorical", "separator": "|"}}
    if users is not None:
        known |= {"occupation": "categorical", "zip": "ignore"}
    features = {**known, **(of_columns or {}), **(options.get("features") or {})}
    return prepare(ratings, users, items, **{**options, "features": features})


def read_plain(path: Path, delimiter: str, columns: list[str]) -> Table:
    """A table without header or quotes, in Latin-1, as the GroupLens files are."""
    text = path.read_text(encoding="latin-1")
    if len(delimiter) > 1:  # pandas is fast with a delimiter of one character only
        text, delimiter = text.replace(delimiter, "\t"), "\t"
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=delimiter,
            header=None,
            names=columns,
            index_col=False,
            dtype=str,
            na_filter=False,
            quoting=3,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: {str(error).strip()}. Put the original file there.") from error
    return Table(frame.set_axis(np.arange(1, len(frame) + 1), axis=0), str(path))
