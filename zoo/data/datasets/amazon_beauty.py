"""Amazon reviews of beauty products, 5-core (McAuley et al., 2015)."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.download import own_folder
from zoo.data.preparation import prepare
from zoo.data.table import Table
from zoo.errors import UserError

FILE = "beauty.csv.gz"


class AmazonBeauty(NamedDataset):
    """Amazon Beauty, 5-core: 22,363 users, 12,101 items; a user's last item is for testing, the one before it valid.

    `beauty.csv.gz` has the columns `user`, `item` and `timestamp`, which is the place of the interaction among
    those of its user. Such times tell the order of a user's interactions, and nothing of those of others.
    """

    name = "amazon-beauty"
    terms = "research use; the reviews are Amazon's and may not be redistributed"
    url = "https://jmcauley.ucsd.edu/data/amazon/"

    def load(self, *, data_root: str | Path | None = None, **options: Any) -> Dataset:
        """See `NamedDataset.load`."""
        path = own_folder(self.name, (FILE,), data_root, self.url) / FILE
        return prepare(_reviews(path), **{"name": self.name, "split": "leave-last-out", **options})


def _reviews(path: Path) -> Table:
    try:
        frame = pd.read_csv(path, dtype=str, na_filter=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {str(error).strip()}. Put the original file there.") from error
    return Table(frame.set_axis(np.arange(2, len(frame) + 2), axis=0), str(path))


DATASETS.register(AmazonBeauty())
