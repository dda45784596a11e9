from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zoo.data.dataset import Dataset
from zoo.schema import FIRST_KNOWN, Feature, Schema, Vocabulary, history_features


def make_events(lengths, history_length, num_items=12, seed=0, labels=None) -> Dataset:
    """Training sequences of the given lengths, their users' events mixed up in time."""
    rng = np.random.default_rng(seed)
    users = rng.permutation(np.repeat(np.arange(len(lengths)) + FIRST_KNOWN, lengths)).astype(np.int32)
    frame = pd.DataFrame(
        {
            "user": users,
            "item": rng.integers(FIRST_KNOWN, num_items + FIRST_KNOWN, len(users)).astype(np.int32),
            "label": np.ones(len(users), np.float32) if labels is None else rng.choice(labels, len(users)),
            "timestamp": np.arange(len(users), dtype=np.float64),
            "part": "train",
        }
    )
    frame["label"] = frame["label"].astype(np.float32)
    num_rows = num_items + FIRST_KNOWN
    return Dataset(
        name="sequences",
        schema=Schema(
            [
                Feature("user", "user", "id", len(lengths) + FIRST_KNOWN),
                Feature("item", "item", "id", num_rows),
                *history_features(num_rows, history_length, max(1.0, float(frame["label"].max()))),
                Feature("label", "label", "numeric"),
            ]
        ),
        vocabularies={"user": Vocabulary(range(len(lengths))), "item": Vocabulary(range(num_items))},
        interactions=frame,
    )


@pytest.fixture(scope="session")
def sequences_of():
    """Makes training sequences; see `make_events`."""
    return make_events
