"""Data larger than memory: what is prepared from files and trained on is what would be in memory."""

from __future__ import annotations

import gc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import (
    NO_HELD_OUT,
    WRITERS,
    all_rows,
    assert_refused,
    assert_same_vocabularies,
    in_memory_rows,
    make_events,
    rows_of,
    write_parquet,
)

from zoo.data import load_dataset, prepare
from zoo.data.examples import Examples
from zoo.data.stream_preparation import prepare_stream
from zoo.data.stream_splits.sample import Sample
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError
from zoo.schema import Vocabulary

pytestmark = pytest.mark.usefixtures("small_pieces")


# A stream is prepared like data in memory


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


def test_all_labels_are_one_without_ratings(tmp_path):
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
    assert "no order and no context: 'device', 'timestamp'" in data.notes[0]


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


def test_the_place_of_an_interaction_in_an_epoch_does_not_depend_on_its_place_in_the_file(tmp_path):
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


def test_the_sampled_users_depend_only_on_their_ids_and_the_seed(tmp_path):
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
        ({"name": "sample", "users": 0.1}, "0.1 is not an integer: option 'users' of split 'sample' of a stream"),
        ({"name": "sample", "seed": "x"}, "'x' is not an integer: option 'seed' of split 'sample' of a stream"),
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


def test_data_in_memory_is_not_streamed(tmp_path):
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
