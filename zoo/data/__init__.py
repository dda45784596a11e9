"""Data: from files to a `Dataset` that is split and ready to train on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset
    from zoo.data.named import list_datasets, load_dataset
    from zoo.data.preparation import prepare

__all__ = ["Dataset", "list_datasets", "load_dataset", "prepare"]

_HOME = {
    "Dataset": "zoo.data.dataset",
    "list_datasets": "zoo.data.named",
    "load_dataset": "zoo.data.named",
    "prepare": "zoo.data.preparation",
}


def __getattr__(name: str) -> object:
    # Imported on first use, because pandas takes most of a second.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
