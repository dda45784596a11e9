"""Data that was generated, whose best reachable ranking is known."""

from __future__ import annotations

from typing import Any

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.synthetic import make_synthetic


class Synthetic(NamedDataset):
    """Purchases by a planted preference, with features of every kind; see `zoo.data.synthetic`."""

    name = "synthetic"
    terms = "none, because the data was generated"

    def load(
        self, *, num_users: int = 1000, num_items: int = 500, num_interactions: int = 30_000, **options: Any
    ) -> Dataset:
        """See `NamedDataset.load`."""
        return make_synthetic(num_users, num_items, num_interactions, **options)


DATASETS.register(Synthetic())
