"""Files to stream from, and what is in what was prepared of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from zoo.data.stream_preparation import prepare_stream
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError

NO_HELD_OUT = {"name": "sample", "valid": 0, "test": 0}


def make_events(rows: int = 500, users: int = 20, items: int = 30, seed: int = 0, **columns) -> pd.DataFrame:
    """Distinct pairs of a user and an item with ratings, those of a user's half of the items higher."""
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(users * items)[:rows]
    user, item = pairs // items, pairs % items
    rating = np.where(user % 2 == item % 2, 5.0, 2.0) - rng.integers(0, 2, rows) / 2
    return pd.DataFrame({"user": [f"u{one:02d}" for one in user], "item": 100 + item, "rating": rating, **columns})


def write_parquet(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_parquet(path, index=False)
    return path


def feature_of(value) -> tf.train.Feature:
    """A feature of a record; a list is one of several values."""
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], str | bytes):
        encoded = [one.encode() if isinstance(one, str) else one for one in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def write_records(rows: list[dict] | pd.DataFrame, path: Path) -> Path:
    rows = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            features = {name: feature_of(value) for name, value in row.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


WRITERS = {".parquet": write_parquet, ".tfrecord": write_records}


def rows_of(batches) -> Counter:
    """The interactions of an epoch as tuples of indices and labels, counted."""
    return Counter(row for batch in batches for row in batch.tolist())


def in_memory_rows(data, *parts) -> Counter:
    frame = data.part(*parts)
    return Counter(zip(frame["user"].tolist(), frame["item"].tolist(), frame["label"].tolist(), strict=True))


def all_rows(data: StreamedDataset) -> Counter:
    """The interactions that are trained on and those that are held out."""
    return rows_of(data.shards.batches([0], 50)) + in_memory_rows(data, "valid", "test", "query")


def assert_same_vocabularies(data, other):
    assert data.vocabularies.keys() == other.vocabularies.keys()
    for name, vocabulary in data.vocabularies.items():
        assert vocabulary == other.vocabularies[name]


def assert_refused(message: str, source, scratch: Path, **options) -> None:
    """Preparation fails with a message and leaves nothing behind."""
    with pytest.raises(UserError) as error:
        prepare_stream(source, scratch=scratch, **options)
    assert message in str(error.value)
    assert not list(scratch.iterdir())
