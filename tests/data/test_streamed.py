"""Data larger than memory: what is prepared from files and trained on is what would be in memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import export
import zoo
from zoo.config import TrainConfig
from zoo.data import chunks, load_dataset, prepare, stream_preparation, streamed
from zoo.data.examples import Examples, StreamedExamples
from zoo.data.stream_preparation import prepare_stream
from zoo.data.stream_splits import Sample
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError
from zoo.objectives import make_objective, streamable_objectives
from zoo.objectives.base import Batch
from zoo.schema import FIRST_KNOWN, Vocabulary
from zoo.training.loop import Trainer

NO_HELD_OUT = {"name": "sample", "valid": 0, "test": 0}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Chunks, blocks and shards so small that these data have several of each."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 70)
    monkeypatch.setattr(stream_preparation, "BLOCK_ROWS", 90)
    monkeypatch.setattr(stream_preparation, "SHARD_ROWS", 64)


@pytest.fixture
def scratch(tmp_path) -> Path:
    """The folder that streams put their files into."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


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
    """What is trained on and what is held out."""
    return rows_of(data.shards.batches([0], 50)) + in_memory_rows(data, "valid", "test", "query")


def assert_same_vocabularies(data, other):
    assert data.vocabularies.keys() == other.vocabularies.keys()
    for name, vocabulary in data.vocabularies.items():
        assert vocabulary == other.vocabularies[name]


# What is prepared is what it would be in memory


IDS = st.integers(-5, 12) | st.sampled_from(["7", "007", "a", "ü", " x ", "1.5", "-0", "12"])


@pytest.mark.parametrize("suffix", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(IDS, IDS, st.integers(-1, 5)), min_size=1, max_size=30), as_text=st.booleans())
def test_any_ids_get_the_indices_they_would_get_in_memory(tmp_path, suffix, rows, as_text):
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    for column in ("user", "item"):
        if as_text or not all(isinstance(value, int) for value in frame[column]):
            frame[column] = frame[column].astype(str)
    streamed_data = prepare_stream(WRITERS[suffix](frame, tmp_path / f"events{suffix}"), split=NO_HELD_OUT)
    data = prepare(frame, duplicates="keep", split={"name": "random", "valid": 0, "test": 0})
    assert_same_vocabularies(streamed_data, data)
    assert all_rows(streamed_data) == in_memory_rows(data, "train")
    assert streamed_data.has_binary_labels == data.has_binary_labels
    assert streamed_data.label_scale == pytest.approx(data.label_scale, abs=1e-6)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_label_threshold_makes_zeros_and_ones(tmp_path, suffix):
    path = WRITERS[suffix](make_events(), tmp_path / f"events{suffix}")
    data = prepare_stream(path, label_threshold=4, split=NO_HELD_OUT)
    expected = prepare(make_events(), label_threshold=4, split={"name": "random", "valid": 0, "test": 0})
    assert all_rows(data) == in_memory_rows(expected, "train")
    assert data.has_binary_labels


def test_without_ratings_all_labels_are_one(tmp_path):
    path = write_parquet(make_events().drop(columns="rating"), tmp_path / "events.parquet")
    assert {label for _, _, label in all_rows(prepare_stream(path, split=NO_HELD_OUT))} == {1.0}


def test_features_and_titles_of_users_and_items_are_those_of_data_in_memory(tmp_path):
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    users = pd.DataFrame({"user": [f"u{one:02d}" for one in range(20)], "age": np.linspace(18, 80, 20)})
    items = pd.DataFrame(
        {"id": 100 + np.arange(30), "title": [f"No. {one}" for one in range(30)], "kind": ["a", "b"] * 15}
    )
    options = {"users": users, "items": items, "features": {"title": "ignore"}}
    data, expected = prepare_stream(path, **options), prepare(make_events(), **options)
    assert_same_vocabularies(data, expected)
    np.testing.assert_array_equal(data.titles, expected.titles)
    for table in ("users", "items"):
        assert getattr(data, table).keys() == getattr(expected, table).keys()
        for name, values in getattr(data, table).items():
            np.testing.assert_allclose(values, getattr(expected, table)[name])
    of_interactions = ("history", "history_rating", "label")
    assert [f for f in data.schema if f.name != "label"] == [
        f for f in expected.schema if f.name not in of_interactions
    ]


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_folder_is_read_like_one_file(tmp_path, suffix):
    frame = make_events()
    whole = WRITERS[suffix](frame, tmp_path / f"whole{suffix}")
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, start in enumerate(range(0, len(frame), 130)):
        WRITERS[suffix](frame[start : start + 130], folder / f"{number}{suffix}")
    (folder / "_SUCCESS").touch()
    (folder / f"old{suffix}").mkdir()
    WRITERS[suffix](frame[:0], folder / f"none{suffix}")
    data, expected = prepare_stream(folder), prepare_stream(whole)
    assert_same_vocabularies(data, expected)
    pd.testing.assert_frame_equal(data.interactions, expected.interactions)
    assert rows_of(data.shards.batches([0], 9)) == rows_of(expected.shards.batches([0], 9))


def test_records_and_parquet_give_the_same_data_in_the_same_order(tmp_path):
    frame = make_events()
    data = [prepare_stream(WRITERS[suffix](frame, tmp_path / f"events{suffix}")) for suffix in WRITERS]
    assert_same_vocabularies(*data)
    pd.testing.assert_frame_equal(data[0].interactions, data[1].interactions)
    epochs = [list(one.shards.batches([3, 1], 32)) for one in data]
    for batch, other in zip(*epochs, strict=True):
        np.testing.assert_array_equal(batch, other)


def test_ids_are_the_same_as_numbers_in_one_file_and_as_texts_in_another(tmp_path):
    write_parquet(pd.DataFrame({"user": [1, 2], "item": [1, 1]}), tmp_path / "a.parquet")
    write_parquet(pd.DataFrame({"user": ["2", "3"], "item": [1.0, 2.0]}), tmp_path / "b.parquet")
    data = prepare_stream(tmp_path, split=NO_HELD_OUT)
    assert data.vocabularies["user"].to_json() == [1, 2, 3]
    assert data.vocabularies["item"].to_json() == [1, 2]
    assert all_rows(data) == Counter({(2, 2, 1.0): 1, (3, 2, 1.0): 2, (4, 3, 1.0): 1})


def test_columns_go_by_their_usual_names_or_are_mapped_and_others_are_left_out(tmp_path):
    frame = make_events(device="tv", timestamp=range(500)).rename(columns={"user": "visitor", "item": "movieId"})
    data = prepare_stream(write_parquet(frame, tmp_path / "events.parquet"), columns={"visitor": "user"})
    assert len(data.vocabularies["item"]) == 30
    assert "Left out: 'device', 'timestamp'" in data.notes[0]


def test_categories_are_what_they_stand_for(tmp_path):
    frame = make_events().astype({"user": "category"})
    data = prepare_stream(write_parquet(frame, tmp_path / "events.parquet"))
    assert data.vocabularies["user"].to_json() == sorted(set(make_events()["user"]))


# Shards


@pytest.fixture
def data(tmp_path, scratch) -> StreamedDataset:
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    return prepare_stream(path, scratch=scratch, split={"name": "sample", "users": 6})


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_an_epoch_is_every_interaction_once_in_batches_of_one_size(data, size):
    batches = list(data.shards.batches([0, 0], size))
    assert rows_of(batches) == rows_of(data.shards.batches([9], 10))
    assert len(data.shards.counts) == 8
    total = int(data.item_counts.sum())
    assert [len(batch) for batch in batches] == [size] * (total // size) + [total % size] * (total % size > 0)


def test_two_epochs_differ_and_a_repeated_one_does_not(data):
    first, second, again = (np.concatenate(list(data.shards.batches([0, epoch], 50))) for epoch in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert (first != second).mean() > 0.9


def test_where_an_interaction_stands_in_an_epoch_says_nothing_about_where_it_stood_in_the_file(tmp_path):
    # A file in order of users; their indices should come in no order.
    frame = make_events(rows=3000, users=100).sort_values("user")
    data = prepare_stream(write_parquet(frame, tmp_path / "events.parquet"), split=NO_HELD_OUT)
    users = np.concatenate(list(data.shards.batches([0], 100)))["user"]
    # The standard deviation of a correlation of 3,000 independent pairs is 0.018.
    assert abs(np.corrcoef(users, np.arange(len(users)))[0, 1]) < 0.08


def test_only_positives_are_left_of_an_epoch_that_asks_for_them(tmp_path):
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    data = prepare_stream(path, label_threshold=4, split=NO_HELD_OUT)
    positives = rows_of(data.shards.batches([0], 20, positives=True))
    assert positives == Counter({row: n for row, n in all_rows(data).items() if row[2] > 0})
    assert positives.total() == data.positive_counts.sum() < data.item_counts.sum()


def test_forgotten_training_interactions_are_deleted(tmp_path, scratch):
    data = prepare_stream(write_parquet(make_events(), tmp_path / "events.parquet"), scratch=scratch)
    assert len(list(scratch.iterdir())) == 1
    del data
    gc.collect()
    assert not list(scratch.iterdir())


# Splits


def test_the_sampled_users_are_kept_with_all_they_did_and_only_what_is_not_held_out_is_trained_on(tmp_path):
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    data = prepare_stream(path, split={"name": "sample", "users": 6, "valid": 0.2, "test": 0.3})
    expected = prepare(make_events(), split={"name": "random", "valid": 0, "test": 0})
    users = data.interactions["user"].unique()
    assert len(users) == 6
    kept = Counter({row: n for row, n in in_memory_rows(expected, "train").items() if row[0] in users})
    assert in_memory_rows(data, "train", "valid", "test") == kept
    trained = rows_of(data.shards.batches([0], 50))
    assert trained == in_memory_rows(expected, "train") - in_memory_rows(data, "valid", "test")
    shares = data.interactions["part"].value_counts(normalize=True)
    assert shares["valid"] == pytest.approx(0.2, abs=0.1)
    assert shares["test"] == pytest.approx(0.3, abs=0.1)
    assert "sample of 6 of 20 users" in data.notes[1]


def test_the_sampled_users_depend_on_their_ids_and_the_seed_alone(tmp_path):
    def sampled(frame, seed=0):
        path = write_parquet(frame, tmp_path / "events.parquet")
        data = prepare_stream(path, split={"name": "sample", "users": 6, "seed": seed})
        return set(data.vocabularies["user"].lookup(data.interactions["user"].unique()))

    frame = make_events()
    assert sampled(frame) == sampled(frame[::-1])
    assert sampled(frame) != sampled(frame, seed=1)


def test_most_of_a_sample_stays_while_the_data_grows():
    def sampled(number):
        vocabulary = Vocabulary([f"u{one:05d}" for one in range(number)])
        return set(vocabulary.raw[Sample(users=100).users(vocabulary, [])])

    # Of 11,000 users 1,000 are new, so a hundred of them have about 9 of the new ones.
    assert 80 <= len(sampled(10_000) & sampled(11_000)) < 100


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_given_split_is_that_of_data_in_memory(tmp_path, suffix):
    parts = np.random.default_rng(0).choice(["train", "Valid", "test", "query"], 500, p=[0.9, 0.03, 0.04, 0.03])
    parts[np.asarray(make_events()["user"] == "u03")] = "train"
    frame = make_events(split=parts)
    data, expected = prepare_stream(WRITERS[suffix](frame, tmp_path / f"events{suffix}")), prepare(frame)
    for part in ("valid", "test", "query"):
        assert in_memory_rows(data, part) == in_memory_rows(expected, part)
    assert rows_of(data.shards.batches([0], 50)) == in_memory_rows(expected, "train")
    held_out = data.part("valid", "test", "query")["user"]
    assert set(data.interactions["user"]) == set(held_out)
    assert data.vocabularies["user"].index(["u03"])[0] not in set(data.interactions["user"])
    np.testing.assert_array_equal(data.item_counts, Examples(expected, ["user"]).item_counts)
    assert data.label_scale == pytest.approx(expected.label_scale, rel=1e-6)


def test_a_sample_can_be_asked_for_instead_of_a_given_split(tmp_path):
    path = write_parquet(make_events(split="train"), tmp_path / "events.parquet")
    assert "valid" in set(prepare_stream(path, split="sample").interactions["part"])


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("random", "A stream is split by 'given' or 'sample'. Received: split='random'."),
        ({"users": 5}, "A stream is split by 'given' or 'sample'. Received: split=None."),
        ("given", "The split 'given' needs a column 'split'"),
        ({"name": "sample", "user": 5}, "Unknown option of split 'sample' of a stream 'user'. Did you mean 'users'?"),
        ({"name": "sample", "users": 0}, "Expected users of at least 1 in the sample. Received: 0."),
        ({"name": "sample", "users": 0.1}, "Expected users of at least 1 in the sample. Received: 0.1."),
        ({"name": "sample", "seed": "x"}, "Expected seed as an integer of at least 0. Received: 'x'."),
        ({"name": "sample", "valid": 0.5, "test": 0.5}, "leave a share for train. Received: valid=0.5, test=0.5."),
    ],
)
def test_a_split_that_a_stream_cannot_have_is_refused(tmp_path, scratch, split, message):
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    assert_refused(message, path, scratch, split=split)


def test_a_given_part_that_is_none_is_refused_with_its_place(tmp_path, scratch):
    frame = make_events(split="train")
    frame.loc[123, "split"] = "tets"
    path = write_parquet(frame, tmp_path / "events.parquet")
    message = f"{path}, row 124, column 'split': expected one of train, valid, test, query. Received: 'tets'."
    assert_refused(message, path, scratch)


def test_a_split_that_leaves_nothing_to_train_on_is_refused(tmp_path, scratch):
    path = write_parquet(make_events(split="test"), tmp_path / "events.parquet")
    assert_refused("The split leaves nothing to train on: as given by column 'split'", path, scratch)


def test_users_to_keep_that_do_not_fit_into_memory_are_refused(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr("zoo.memory.available_memory", lambda: 10_000)
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    assert_refused("Keeping 500 interactions of 20 users to evaluate by needs 50.0 kB of memory", path, scratch)
    assert prepare_stream(path, split={"name": "sample", "users": 2}).interactions["user"].nunique() == 2


# Bad input


def assert_refused(message: str, source, scratch: Path, **options) -> None:
    """Preparation fails with a message and leaves nothing behind."""
    with pytest.raises(UserError) as error:
        prepare_stream(source, scratch=scratch, **options)
    assert message in str(error.value)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("user", "", "row 124, column 'visitor': a user id is missing. Received: nothing."),
        ("user", "  ", "row 124, column 'visitor': a user id is missing. Received: '  '."),
        ("rating", "good", "row 124, column 'rating': a rating must be a number. Received: 'good'."),
        ("rating", "inf", "row 124, column 'rating': a rating must be a number. Received: 'inf'."),
    ],
)
def test_a_bad_value_is_refused_with_file_row_and_column(tmp_path, scratch, suffix, column, value, message):
    frame = make_events().astype({column: str})
    frame.loc[123, column] = value
    path = WRITERS[suffix](frame.rename(columns={"user": "visitor"}), tmp_path / f"events{suffix}")
    assert_refused(f"{path}, {message}", path, scratch, columns={"visitor": "user"})


@pytest.mark.parametrize(
    ("column", "what"),
    [("user", "a user id is missing"), ("item", "a item id is missing"), ("rating", "a rating must be")],
)
def test_a_missing_value_is_refused_with_file_row_and_column(tmp_path, scratch, column, what):
    frame = make_events().astype({column: object})
    frame.loc[123, column] = None
    path = write_parquet(frame, tmp_path / "events.parquet")
    assert_refused(f"{path}, row 124, column {column!r}: {what}", path, scratch)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_missing_column_is_refused_with_the_near_names(tmp_path, scratch, suffix):
    path = WRITERS[suffix](make_events().rename(columns={"item": "itm"}), tmp_path / f"events{suffix}")
    assert_refused(f"{path}: has no column 'item'. Did you mean 'itm'? Its columns: ", path, scratch)
    assert_refused(f"{path}: has no column 'skus'.", path, scratch, columns={"skus": "item"})


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_that_differ_in_their_columns_are_refused(tmp_path, scratch, suffix):
    WRITERS[suffix](make_events(), tmp_path / f"a{suffix}")
    other = WRITERS[suffix](make_events().drop(columns="rating"), tmp_path / f"b{suffix}")
    assert_refused(f"{other}: has no column 'rating'.", tmp_path, scratch)


def test_a_label_threshold_without_ratings_is_refused(tmp_path, scratch):
    path = write_parquet(make_events().drop(columns="rating"), tmp_path / "events.parquet")
    assert_refused(f"label_threshold=3 needs a rating column, which {path} lacks.", path, scratch, label_threshold=3)


def test_columns_of_lists_are_no_ids(tmp_path, scratch):
    frame = pd.DataFrame({"user": [[1, 2], [3]], "item": [1, 2]})
    path = write_parquet(frame, tmp_path / "events.parquet")
    assert_refused(f"{path}: column 'user' has values of type list<", path, scratch)


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_without_rows_are_refused(tmp_path, scratch, suffix):
    path = WRITERS[suffix](make_events()[:0], tmp_path / f"events{suffix}")
    assert_refused(f"{path}: has no rows.", path, scratch)


def test_sources_that_are_no_stream_are_refused(tmp_path, scratch):
    assert_refused("has no .parquet or .tfrecord files.", tmp_path, scratch)
    assert_refused(
        "events.parqet: cannot be streamed. Expected a .parquet or .tfrecord", tmp_path / "events.parqet", scratch
    )
    assert_refused("cannot be streamed", tmp_path / "events.csv", scratch)
    write_parquet(make_events(), tmp_path / "events.parquet")
    assert_refused("event.parquet: no such file. Did you mean 'events.parquet'?", tmp_path / "event.parquet", scratch)
    write_records(make_events()[:5], tmp_path / "events.tfrecord")
    assert_refused("has both .parquet and .tfrecord files. Keep one kind", tmp_path, scratch)


def test_a_damaged_parquet_file_is_refused(tmp_path, scratch):
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(f"{path}: not readable as Parquet (", path, scratch)
    path.write_bytes(b"")
    assert_refused(f"{path}: not readable as Parquet (", path, scratch)


def test_a_parquet_file_with_a_damaged_page_is_refused(tmp_path, scratch):
    path = write_parquet(make_events(rows=600), tmp_path / "events.parquet")
    content = bytearray(path.read_bytes())
    content[8:40] = bytes(32)
    path.write_bytes(content)
    assert_refused(f"{path}: not readable as Parquet (", path, scratch)


@pytest.mark.parametrize("rows", [3, 300])
def test_a_truncated_tfrecord_file_is_refused_with_the_last_good_row(tmp_path, scratch, rows):
    path = write_records(make_events()[:rows], tmp_path / "events.tfrecord")
    path.write_bytes(path.read_bytes()[:-5])
    assert_refused(f"{path}: is damaged after row {rows - 1}, or no TFRecord file.", path, scratch)


def test_records_that_are_no_examples_are_refused_with_their_row(tmp_path, scratch):
    path = tmp_path / "events.tfrecord"
    good = write_records(make_events()[:150], path)
    records = [one.numpy() for one in tf.data.TFRecordDataset(str(good))]
    for at in (0, 120):
        with tf.io.TFRecordWriter(str(path)) as writer:
            for number, record in enumerate(records):
                writer.write(b"\xff\xff" if number == at else record)
        assert_refused(f"{path}, row {at + 1}: is no tf.train.Example.", path, scratch)


@pytest.mark.parametrize("at", [0, 120])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rating": None}, "column 'rating': expected one value. Received: nothing."),
        ({"user": ["a", "b"]}, "column 'user': expected one value. Received: 2 values."),
        ({"user": b"\xff"}, r"column 'user': expected UTF-8 text. Received: b'\xff'."),
    ],
)
def test_a_record_that_is_not_as_it_should_be_is_refused_with_its_place(tmp_path, scratch, at, change, message):
    rows = make_events()[:150].to_dict("records")
    rows[at] = {name: value for name, value in {**rows[at], **change}.items() if value is not None}
    path = write_records(rows, tmp_path / "events.tfrecord")
    assert_refused(f"{path}, row {at + 1}, {message}", path, scratch)


def test_a_record_with_values_of_another_kind_is_refused_with_its_place(tmp_path, scratch):
    rows = make_events()[:150].to_dict("records")
    rows[120]["item"] = "x"
    path = write_records(rows, tmp_path / "events.tfrecord")
    message = "row 121, column 'item': expected int64_list, as in the first rows. Received: bytes_list."
    assert_refused(f"{path}, {message}", path, scratch)


def test_arguments_that_make_no_sense_are_refused(tmp_path, scratch):
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    assert_refused(
        "A stream keeps repeated interactions. Received: duplicates='last'.", path, scratch, duplicates="last"
    )
    assert_refused("Expected columns as a mapping", path, scratch, columns=["user"])
    assert_refused("Expected label_threshold as a number", path, scratch, label_threshold="3")
    assert_refused("Expected seed as an integer", path, scratch, seed=-1)
    assert_refused("Unknown column in features 'age'", path, scratch, features={"age": "numeric"})
    users = pd.DataFrame({"user": ["nobody"], "age": [1]})
    assert_refused("none of its users has interactions", path, scratch, users=users)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    with pytest.raises(UserError, match=r"cannot be written there \(No such file or directory\)\. Name a folder"):
        prepare_stream(path, scratch=tmp_path / "missing")


# Loading by name


def test_a_yaml_file_can_ask_for_a_stream(tmp_path):
    write_parquet(make_events(), tmp_path / "events.parquet")
    file = tmp_path / "shop.yaml"
    file.write_text("interactions: events.parquet\nstream: true\n")
    assert isinstance(load_dataset(file), StreamedDataset)
    file.write_text("interactions: events.parquet\n")
    assert not isinstance(load_dataset(file), StreamedDataset)
    data = load_dataset(file, stream=True, label_threshold=3)
    assert isinstance(data, StreamedDataset)
    assert data.name == "shop"
    file.write_text("interactions: events.parquet\nstream: true\nmax_history: 3\n")
    with pytest.raises(UserError, match="max_history has no effect on a stream"):
        load_dataset(file)


def test_what_is_in_memory_anyway_is_not_streamed(tmp_path):
    with pytest.raises(UserError, match=r"Only files can be streamed\. A frame is in memory anyway"):
        load_dataset(make_events(), stream=True)
    with pytest.raises(UserError, match=r"Only files can be streamed\. The dataset 'synthetic' is in memory"):
        load_dataset("synthetic", stream=True)
    write_parquet(make_events(), tmp_path / "events.parquet")
    with pytest.raises(UserError, match=r"a folder of Parquet or TFRecord files can be streamed \(data.stream=true\)"):
        load_dataset(tmp_path)
    with pytest.raises(UserError, match="max_history has no effect on a stream"):
        load_dataset(tmp_path, stream=True, max_history=5)
    with pytest.raises(UserError, match="Unknown option 'user'"):
        load_dataset(tmp_path, stream=True, user="x")
    with pytest.raises(UserError, match=r"TFRecord files are streamed\. Say so by data\.stream=true"):
        load_dataset(tmp_path / "events.tfrecord")


# Training


def test_an_epoch_brings_the_same_events_as_in_memory(tmp_path):
    parts = np.random.default_rng(0).choice(["train", "test"], 500, p=[0.9, 0.1])
    frame = make_events(split=parts)
    users = pd.DataFrame({"user": [f"u{one:02d}" for one in range(20)], "age": np.linspace(18, 80, 20)})
    options = {"users": users, "label_threshold": 3}
    path = write_parquet(frame, tmp_path / "events.parquet")
    for positives in (False, True):
        expected = Examples(prepare(frame, **options), ["user", "age"], positives)
        events = StreamedExamples(prepare_stream(path, **options), ["user", "age"], positives)
        assert events.num_examples == expected.num_examples
        np.testing.assert_array_equal(events.item_counts, expected.item_counts)

        def rows(source):
            found = Counter()
            for examples in source.epoch([0, 0], 60):
                one = source.at(examples)
                columns = one.users, one.items, one.labels, one.query["user"], one.query["age"]
                found.update(zip(*(column.numpy().tolist() for column in columns), strict=True))
            return found

        assert rows(events) == rows(expected)


def test_a_step_over_all_interactions_is_that_of_data_in_memory(tmp_path):
    frame = make_events(split="train")
    path = write_parquet(frame, tmp_path / "events.parquet")
    weights = []
    for data in (prepare(frame), prepare_stream(path)):
        keras.utils.set_random_seed(0)
        model = zoo.build("mf", num_users=20, num_items=30, embedding_dim=4)
        objective = make_objective("pointwise", model, data, {"feedback": "explicit"})
        config = TrainConfig(epochs=5, batch_size=1000, learning_rate=0.1, optimizer="sgd")
        Trainer(model, objective, config, dict, "loss").fit()
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def train_streamed(source, epochs=3, **options) -> zoo.Run:
    settings = {
        "hparams": {"embedding_dim": 4},
        "split": {"name": "sample", "options": {"users": 6}},
        "train": {
            "epochs": epochs,
            "batch_size": 32,
            "learning_rate": 0.02,
            "patience": None,
            "steps_per_execution": 4,
        },
        "data": {"stream": True},
        "progress": False,
        **options,
    }
    return zoo.train("mf", source, **settings)


@pytest.fixture
def path(tmp_path) -> Path:
    return write_parquet(make_events(), tmp_path / "events.parquet")


class KilledError(RuntimeError):
    """Stands for whatever ends a process in the middle of training."""


class KillInEpoch(keras.callbacks.Callback):
    """Ends training at the start of an epoch, counted from 0."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KilledError


def test_a_resumed_run_ends_like_an_uninterrupted_one(path, tmp_path):
    whole = train_streamed(path)
    out = tmp_path / "runs" / "mf"
    with pytest.raises(KilledError):
        train_streamed(path, out=out, callbacks=[KillInEpoch(2)])
    gc.collect()
    assert [one.name for one in out.parent.iterdir()] == [".mf-unfinished"]
    path.unlink()  # what is left to train on is in the unfinished folder
    resumed = train_streamed(path, out=out, resume=True)
    for expected, weights in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(expected, weights)
    assert [one.name for one in out.parent.iterdir()] == ["mf"]


def test_an_interrupted_run_whose_interactions_are_gone_says_so(path, tmp_path):
    out = tmp_path / "runs" / "mf"
    with pytest.raises(KilledError):
        train_streamed(path, out=out, callbacks=[KillInEpoch(2)])
    shard = next((out.parent / ".mf-unfinished" / "data" / streamed.FOLDER).iterdir())
    shard.write_bytes(shard.read_bytes()[:-12])
    with pytest.raises(UserError, match="has not the size that it was written with"):
        train_streamed(path, out=out, resume=True)


def test_a_run_is_saved_without_what_it_was_trained_on_and_works_on(path, tmp_path):
    run = train_streamed(path, out=tmp_path / "runs" / "mf")
    gc.collect()
    assert [one.name for one in (tmp_path / "runs").iterdir()] == ["mf"]
    assert not (tmp_path / "runs" / "mf" / "data" / streamed.FOLDER).exists()
    again = zoo.load(tmp_path / "runs" / "mf")
    assert isinstance(again.dataset, StreamedDataset)
    assert again.evaluate().to_json() == run.metrics["full-ranking/test"]
    assert {"hr@10", "ndcg@10"} <= run.history[0].keys(), "validation is on the sampled users"
    bundle = export.export(again, tmp_path / "bundle", formats=("saved_model",))
    assert all(check.passed for check in export.verify(bundle))
    with pytest.raises(UserError, match=r"is gone\. A run does not keep what it was trained on"):
        zoo.train("mf", again.dataset, progress=False)


def test_what_a_sampled_user_met_is_not_recommended_and_of_others_nothing_is_known(path, tmp_path):
    run = train_streamed(path, epochs=1)
    frame, seen = make_events(), {}
    for user, items in frame.groupby("user")["item"]:
        recommended = set(run.recommend([user], k=30)["item"])
        seen[user] = not recommended & set(items)
        assert recommended == set(range(100, 130)) - (set(items) if seen[user] else set())
    sampled = run.dataset.vocabularies["user"].lookup(run.dataset.interactions["user"].unique())
    assert {user for user, is_known in seen.items() if is_known} == set(sampled)
    assert len(run.recommend(["nobody"], k=3)) == 3


def test_a_prepared_stream_can_be_trained_on_again(data, tmp_path):
    options = {"progress": False, "train": {"epochs": 1, "batch_size": 32}}
    runs = [zoo.train("mf", data, out=tmp_path / f"run{number}", **options) for number in range(2)]
    for one, other in zip(runs[0].model.weights, runs[1].model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    data.shards.check()


def test_training_learns_what_there_is_to_learn(path):
    losses = [epoch["loss"] for epoch in train_streamed(path, epochs=8).history]
    assert losses[0] == pytest.approx(np.log(2), abs=0.1), "at the start nothing is known"
    assert losses[-1] < losses[0] - 0.02


OPTIONS = {
    "bpr": {},
    "full_softmax": {},
    "gbce": {"negatives": 4},
    "in_batch_softmax": {},
    "pointwise": {},
    "sampled_softmax": {"negatives": 8, "sampler": "popularity"},
}


@pytest.mark.parametrize("name", streamable_objectives())
def test_every_objective_of_single_interactions_trains_on_a_stream(path, name):
    # Users like one half of the items, so most negatives are items of the other half.
    data = prepare_stream(path, label_threshold=3)
    train = {"objective": name, "options": OPTIONS[name], "epochs": 12, "batch_size": 32, "learning_rate": 0.05}
    losses = [epoch["loss"] for epoch in zoo.train("mf", data, train=train, progress=False).history]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "options",
    [{"sampler": name} for name in ("hard", "in-batch", "popularity")] + [{"shared": 8}, {"feedback": "explicit"}],
    ids=str,
)
def test_every_way_to_draw_negatives_works_on_a_stream(data, options):
    train = {"options": options, "epochs": 1, "batch_size": 32}
    assert np.isfinite(zoo.train("mf", data, train=train, progress=False).history[0]["loss"])


def test_negatives_come_from_the_whole_catalogue(data):
    model = zoo.build("mf", data.schema, embedding_dim=4)
    objective = make_objective("pointwise", model, data, {"negatives": 400})
    examples = next(objective.epoch([0, 0], 32))
    batch = Batch(examples, tf.constant([0, 0]), tf.range(32), tf.constant(32))
    drawn, weights = objective._sampler(objective._events.at(examples), batch)
    counts = np.bincount(drawn.numpy().ravel(), minlength=data.num_items)[FIRST_KNOWN:]
    # 12,800 draws from 30 items: 427 each, with a standard deviation of 20.
    assert (abs(counts - 12_800 / 30) < 100).all()
    assert (weights.numpy() == 1).all()


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("lstm", {}, r"'lstm' reads histories, which streamed data cannot give\. These train on it: .*\bmf, ncf\b"),
        ("popularity", {}, r"'popularity' needs all interactions at once, .* These train on it: "),
        ("mf", {"train": {"objective": "next_item"}}, r"Objective 'next_item' needs .* train\.objective: bpr, "),
        ("mf", {"train": {"objective": "reconstruction"}}, "Objective 'reconstruction' needs all that a user met"),
        ("mf", {"train": {"objective": "pointwize"}}, "Unknown objective 'pointwize'. Did you mean 'pointwise'"),
    ],
)
def test_what_needs_whole_users_is_refused_before_anything_is_read(path, tmp_path, model, settings, message):
    with pytest.raises(UserError, match=message):
        zoo.train(model, tmp_path / "missing.parquet", data={"stream": True}, out=tmp_path / "runs" / "x", **settings)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UserError, match=message):
        zoo.train(model, prepare_stream(path), **settings)


def test_an_architecture_that_knows_items_by_their_users_is_refused_for_a_stream(path):
    with pytest.raises(UserError, match="needs all interactions at once"):
        zoo.train("item_autoencoder", path, data={"stream": True}, train={"objective": "pointwise"}, progress=False)


def test_an_objective_of_whole_users_is_refused_for_a_stream(data):
    model = zoo.build("mf", data.schema, embedding_dim=4)
    with pytest.raises(UserError, match="Objective 'next_item' needs all that a user met at once"):
        make_objective("next_item", model, data, {})
    with pytest.raises(UserError, match="avoid_seen needs what users have met in memory"):
        make_objective("in_batch_softmax", model, data, {"avoid_seen": True})


def test_a_failed_preparation_leaves_no_run(tmp_path):
    frame = make_events().astype({"rating": str})
    frame.loc[123, "rating"] = "good"
    path = write_parquet(frame, tmp_path / "events.parquet")
    with pytest.raises(UserError, match="row 124, column 'rating': a rating must be a number"):
        train_streamed(path, out=tmp_path / "runs" / "mf")
    assert not (tmp_path / "runs").exists()


REPLICAS = """
import sys, keras, numpy as np, tensorflow as tf
cpu, two = tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
import zoo
from zoo.config import TrainConfig
from zoo.data.stream_preparation import prepare_stream
from zoo.objectives import make_objective
from zoo.training.loop import Trainer

data = prepare_stream(sys.argv[1], split={"name": "sample", "users": 6})
found = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = zoo.build("mf", data.schema, embedding_dim=4)
        objective = make_objective("pointwise", model, data, {})
        Trainer(model, objective, TrainConfig(epochs=2, batch_size=31, learning_rate=0.05), dict, "loss").fit()
    found.append(model.get_weights())
for one, two in zip(*found):
    np.testing.assert_allclose(one, two, atol=2e-5)
print("same")
"""


def test_two_replicas_learn_what_one_does(path):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run(
        [sys.executable, "-c", REPLICAS, str(path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert ran.stdout.strip() == "same", ran.stderr
