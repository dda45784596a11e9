"""Data larger than memory: what is prepared from files and trained on is what would be in memory."""

from __future__ import annotations

import pandas as pd
import pytest
import tensorflow as tf
from streams import WRITERS, assert_refused, make_events, write_parquet, write_records

from zoo.data.stream_preparation import prepare_stream
from zoo.errors import UserError

pytestmark = pytest.mark.usefixtures("small_pieces")


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("user", "", "row 124, column 'visitor': the user id is missing. Received: nothing."),
        ("user", "  ", "row 124, column 'visitor': the user id is missing. Received: '  '."),
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
    [("user", "the user id is missing"), ("item", "the item id is missing"), ("rating", "a rating must be")],
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
