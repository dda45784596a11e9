from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo.data.readers import are_integers, distinct, ids, numbers, read_table, seconds
from zoo.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_text_is_read_as_it_was_written(tmp_path):
    path = write(tmp_path / "a.csv", 'user,item\n007,"a,b"\n"say ""hi""",NA\n\U0001f600,null\n')
    frame = read_table(path).frame
    assert frame["user"].tolist() == ["007", 'say "hi"', "\U0001f600"]
    assert frame["item"].tolist() == ["a,b", "NA", "null"]


@pytest.mark.parametrize(("name", "text"), [("a.tsv", "user\titem\n1\t2\n"), ("a.txt", "user\titem\n1\t2\n")])
def test_tabs_separate_too(tmp_path, name, text):
    assert read_table(write(tmp_path / name, text)).frame.to_dict("list") == {"user": ["1"], "item": ["2"]}


def test_a_txt_file_may_have_commas(tmp_path):
    assert list(read_table(write(tmp_path / "a.txt", "user,item\n1,2\n")).frame) == ["user", "item"]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("user,item\n1,2\n", encoding="utf-8-sig")
    assert list(read_table(path).frame) == ["user", "item"]


def test_blank_lines_are_skipped(tmp_path):
    assert len(read_table(write(tmp_path / "a.csv", "user,item\n\n1,2\n\n3,4\n\n")).frame) == 2


def test_parquet_keeps_its_types(tmp_path):
    pd.DataFrame({"user": [1, 2], "item": ["a", "b"]}).to_parquet(tmp_path / "a.parquet")
    frame = read_table(tmp_path / "a.parquet").frame
    assert frame["user"].dtype == np.int64


def test_columns_are_renamed_and_errors_use_the_written_name(tmp_path):
    table = read_table(write(tmp_path / "a.csv", "who,item\nx,1\n,2\n"), {"who": "user"})
    with pytest.raises(UserError, match=r"a\.csv, row 3, column 'who': the user id is missing"):
        ids(table, "user")


def test_a_missing_file_gives_the_near_names(tmp_path):
    write(tmp_path / "ratings.csv", "user,item\n1,2\n")
    with pytest.raises(UserError, match=r"rating\.csv: no such file. Did you mean 'ratings\.csv'\?"):
        read_table(tmp_path / "rating.csv")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"There is no folder .*nowhere either"):
        read_table(tmp_path / "nowhere" / "a.csv")


def test_another_kind_of_file_gives_the_kinds_that_can_be_read(tmp_path):
    with pytest.raises(UserError, match=r"Expected one of: \.csv, \.tsv, \.txt, \.parquet"):
        read_table(write(tmp_path / "a.xlsx", "x"))


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UserError, match=r"a\.csv: is not a file"):
        read_table(tmp_path / "a.csv")


def test_a_missing_column_gives_the_near_names_and_all_names(tmp_path):
    path = write(tmp_path / "a.csv", "user_id,thing\n1,2\n")
    with pytest.raises(UserError, match=r"a\.csv: has no column 'userid'. Did you mean 'user_id'\? .*user_id, thing"):
        read_table(path, {"userid": "user"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("user,item\n", "has a header but no rows"),
        ("user,user\n1,2\n", "has the column 'user' more than once"),
        ("user,item\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ('user,item\n1,"2\n', "EOF inside string"),
    ],
)
def test_a_malformed_text_file_is_an_error(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as error:
        read_table(write(tmp_path / "a.csv", text))
    assert "a.csv" in str(error.value)


def test_text_that_is_not_utf8_is_an_error(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("user,item\n1,café\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"a\.csv: is not UTF-8"):
        read_table(path)


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_parquet_file_that_was_cut_short_is_an_error(tmp_path, keep):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"user": range(100), "item": range(100)}).to_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UserError, match=r"a\.parquet: not readable as Parquet"):
        read_table(path)


def test_a_frame_without_rows_is_an_error():
    with pytest.raises(UserError, match="interactions: has no rows"):
        read_table(pd.DataFrame({"user": [], "item": []}), name="interactions")


def test_the_row_of_an_error_is_a_line_of_the_file_even_after_line_breaks_in_quotes(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["user", "note", "rating"], ["a", "two\nlines", 1], [], ["b", "", "x"]]
        )
    assert path.read_text().splitlines()[4] == "b,,x"
    with pytest.raises(UserError, match=r"row 5, column 'rating': a rating must be a number. Received: 'x'"):
        numbers(read_table(path), "rating", "rating")


@pytest.mark.parametrize("bad", ["five", "", "inf", "nan"])
def test_a_rating_must_be_a_number(tmp_path, bad):
    table = read_table(write(tmp_path / "a.csv", f"user,rating\n1,5\n2,{bad}\n"))
    with pytest.raises(UserError, match=r"a\.csv, row 3, column 'rating': a rating must be a number"):
        numbers(table, "rating", "rating")


def test_timestamps_are_seconds_or_date_times(tmp_path):
    text = "user,a,b,c\n1,978300760,2000-12-31T22:12:40,2000-12-31 23:12:40.5+01:00\n"
    table = read_table(write(tmp_path / "a.csv", text))
    assert [seconds(table, name)[0] for name in "abc"] == [978300760.0, 978300760.0, 978300760.5]


def test_timestamps_of_frames_may_be_datetimes():
    table = read_table(pd.DataFrame({"t": [pd.Timestamp(1, unit="s"), pd.Timestamp("1970-01-02")]}))
    assert seconds(table, "t").tolist() == [1.0, 86400.0]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("978300760", "yesterday", "in unix seconds, as the others are"),
        ("978300760", "2000-12-31", "in unix seconds, as the others are"),
        ("2000-12-31", "yesterday", "unix seconds or an ISO date-time"),
        ("2000-12-31", "", "Received: nothing"),
    ],
)
def test_a_timestamp_that_cannot_be_read_is_an_error(tmp_path, good, bad, message):
    table = read_table(write(tmp_path / "a.csv", f"user,time\n1,{good}\n2,{good}\n3,{bad}\n"))
    with pytest.raises(UserError, match=rf"a\.csv, row 4, column 'time': .*{message}"):
        seconds(table, "time")


def test_a_frame_counts_its_rows_from_one_whatever_its_index():
    table = read_table(pd.DataFrame({"user": ["a", None]}, index=[70, 90]), name="users")
    with pytest.raises(UserError, match=r"users, row 2, column 'user': the user id is missing. Received: nothing"):
        ids(table, "user")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["0", "7", "-3", "9" * 18], True),
        (["007"], False),
        (["1.0"], False),
        (["+1"], False),
        (["1_000"], False),
        (["-0"], False),
        (["9223372036854775807", "-9223372036854775807"], True),
        (["9" * 19], False),
        (["9" * 40], False),
        (["\u0661"], False),
        (["1", "x"], False),
    ],
)
def test_only_integers_that_lose_nothing_are_integers(texts, expected):
    assert are_integers(texts) is expected


def test_distinct_gives_texts_and_marks_what_is_missing():
    codes, texts = distinct(pd.Series([2.0, np.nan, 1.5, 2.0]))
    assert texts.tolist() == ["2", "1.5"]
    assert codes.tolist() == [0, -1, 1, 0]
    codes, texts = distinct(pd.Series(["", "b", None, 1, "1", ["x", "y"]], dtype=object))
    assert texts.tolist() == ["b", "1", "x|y"]
    assert codes.tolist() == [-1, 0, -1, 1, 1, 2]


def test_known_aliases_are_understood_in_any_case():
    frame = pd.DataFrame({"UserID": [1], "Movie_Id": [1], "Score": [1], "TS": [1]})
    table = read_table(frame).with_known_names("user", "item", "label", "timestamp")
    assert list(table.frame) == ["user", "item", "label", "timestamp"]


def test_an_alias_does_not_displace_the_canonical_column():
    table = read_table(pd.DataFrame({"user": [1], "uid": [2]})).with_known_names("user")
    assert list(table.frame) == ["user", "uid"]


def test_two_columns_cannot_get_one_name():
    with pytest.raises(UserError, match="more than one column would be called 'user'"):
        read_table(pd.DataFrame({"user": [1], "uid": [2]}), {"uid": "user"})
