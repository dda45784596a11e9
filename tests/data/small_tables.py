"""Tables of two users and three items, and what is prepared of them without anything held out."""

from __future__ import annotations

import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.preparation import prepare

ALL_TRAIN = {"name": "random", "valid": 0, "test": 0}


def events(**columns) -> pd.DataFrame:
    return pd.DataFrame({"user": ["a", "a", "b", "b"], "item": [10, 20, 10, 30], **columns})


def items_with(**columns) -> pd.DataFrame:
    return pd.DataFrame({"item": [10, 20, 30], **columns})


def prepared(frame=None, users=None, items=None, **options) -> Dataset:
    return prepare(events() if frame is None else frame, users, items, **{"split": ALL_TRAIN, **options})
