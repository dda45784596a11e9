from __future__ import annotations

import contextlib
import datetime

import numpy as np
import pandas as pd
import pytest

from zoo.data.preparation import prepare
from zoo.data.reading import read_table
from zoo.data.table import Table
from zoo.data.values import are_integers, distinct, ids, numbers, seconds, with_joined_time
from zoo.errors import UserError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


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
        ("978300760", "yesterday", "a number, as the others are"),
        ("978300760", "2000-12-31", "a number, as the others are"),
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


# Numbers


@pytest.mark.parametrize("value", [1e39, -1e39, "1e39", "1e400"])
def test_a_rating_that_does_not_fit_into_32_bits_is_an_error(value):
    table = read_table(pd.DataFrame({"rating": [5, value]}), name="visits")
    with pytest.raises(UserError, match="visits, row 2, column 'rating': a rating must be"):
        numbers(table, "rating", "rating")


@pytest.mark.parametrize("values", [[True, False], ["true", "False"], [" TRUE ", "false"], [1, 0]])
def test_truth_is_one_and_falsehood_zero(values):
    assert numbers(read_table(pd.DataFrame({"liked": values})), "liked", "rating").tolist() == [1, 0]


# Ids


def ids_of(values) -> list[str]:
    codes, texts = ids(read_table(pd.DataFrame({"user": values})), "user")
    return [texts[code] for code in codes]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["7", " 7", "7 "], ["7", "7", "7"]),
        (["1", "1.0", "2.0"], ["1", "1", "2"]),
        ([1, 1.0, "1"], ["1", "1", "1"]),
        (["1.0", "1.1"], ["1.0", "1.1"]),
        (["007", "7"], ["007", "7"]),
        (["007", "7.0"], ["007", "7.0"]),
        ([True, False], ["True", "False"]),
    ],
)
def test_ids_that_mean_the_same_are_one(values, expected):
    assert ids_of(values) == expected


@pytest.mark.parametrize("value", [" ", "", None, np.nan, pd.NA, pd.NaT])
def test_what_stands_for_no_id_is_an_error(value):
    with pytest.raises(UserError, match="table, row 2, column 'user': the user id is missing"):
        ids_of(["a", value])


@pytest.mark.parametrize("value", ["NULL", "NA", "None", "nan", "n/a"])
def test_a_word_for_nothing_is_no_id_in_a_file_of_text_and_one_elsewhere(tmp_path, value):
    assert ids_of(["a", value]) == ["a", value]
    path = write(tmp_path / "visits.csv", f"user,item\na,1\n{value},2\n")
    with pytest.raises(UserError, match=r"visits\.csv, row 3, column 'user': the user id is missing.*missing_ids"):
        prepare(path)
    options = {"split": {"name": "random", "valid": 0, "test": 0}}
    assert prepare(path, missing_ids=[], **options).vocabularies["user"].to_json() == sorted(["a", value])
    with pytest.raises(UserError, match="interactions, row 2, column 'user'"):
        prepare(pd.DataFrame({"user": ["a", value], "item": [1, 2]}), missing_ids=[value], **options)


@pytest.mark.parametrize("texts", ["NA", 7, [7], {"NA": 1}])
def test_words_for_nothing_are_a_list_of_texts(texts):
    with pytest.raises(UserError, match="Expected missing_ids as a list of texts"):
        prepare(pd.DataFrame({"user": ["a"], "item": [1]}), missing_ids=texts)


def test_a_list_is_no_id():
    with pytest.raises(UserError, match="row 1, column 'user': a user id must be one value"):
        ids_of([["a"], ["b"]])


# Times

MOMENT = 1709210096  # 2024-02-29 12:34:56 UTC


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([MOMENT], None),
        ([MOMENT * 1000], "milliseconds"),
        ([MOMENT * 10**6], "microseconds"),
        ([MOMENT * 10**9], "nanoseconds"),
        ([20240229123456], "calendar numbers"),
        (["20240229123456"], "calendar numbers"),
        (["2024-02-29 12:34:56"], None),
        (["2024-02-29T13:34:56+01:00"], None),
        ([datetime.datetime(2024, 2, 29, 12, 34, 56)], None),
        (pd.to_datetime(["2024-02-29 12:34:56"]), None),
        (pd.to_datetime(["2024-02-29 12:34:56"]).astype("datetime64[s]"), None),
        (pd.to_datetime(["2024-02-29 12:34:56"]).tz_localize("UTC"), None),
        (pd.PeriodIndex(["2024-02-29 12:34:56"], freq="s"), None),
        (pd.to_timedelta([MOMENT], unit="s"), None),
    ],
)
def test_times_are_told_however_they_are_written(values, unit):
    table = read_table(pd.DataFrame({"time": values}))
    assert seconds(table, "time").tolist() == [MOMENT]
    assert [unit in note for note in table.notes] == ([True] if unit else [])


@pytest.mark.parametrize("values", [[20240229], ["20240229"], [datetime.date(2024, 2, 29)], ["2024-02-29"]])
def test_days_are_told_however_they_are_written(values):
    assert seconds(read_table(pd.DataFrame({"day": values})), "day").tolist() == [MOMENT - MOMENT % 86400]


@pytest.mark.parametrize("values", [[1, 2, 3], [0, 5_000, 10**9], [20240230, 20240231]])
def test_other_numbers_are_seconds(values):
    table = read_table(pd.DataFrame({"time": values}))
    assert seconds(table, "time").tolist() == values
    assert not table.notes


@pytest.mark.parametrize("value", ["99999-01-01", "2024-13-01", "soon", "24:00"])
def test_what_is_no_time_is_an_error(value):
    table = read_table(pd.DataFrame({"time": ["2024-02-29", value]}))
    with pytest.raises(UserError, match="row 2, column 'time': a timestamp must be"):
        seconds(table, "time")


@pytest.mark.parametrize(("value", "year"), [("0001-01-01", 1), ("1500-06-01T00:00:00", 1500), ("9999-12-31", 9999)])
def test_years_far_away_are_told_or_refused(value, year):
    table = read_table(pd.DataFrame({"time": ["2024-02-29", value]}))
    with contextlib.suppress(UserError):  # pandas before 3 knows the years from 1678 to 2261.
        assert seconds(table, "time")[1] // (365.2425 * 86400) + 1970 == year


def test_a_date_and_a_time_of_day_are_one_time():
    frame = pd.DataFrame({"user": [1, 2], "Date": ["2024-02-29", "2024-03-01"], "Time": ["12:34:56", "0:05"]})
    table = with_joined_time(read_table(frame, name="visits"))
    assert list(table.frame) == ["user", "timestamp"]
    assert seconds(table, "timestamp").tolist() == [MOMENT, MOMENT - MOMENT % 86400 + 86400 + 300]
    assert table.notes == ["visits: the columns 'Date' and 'Time' were taken for one timestamp."]


def test_a_time_that_is_no_time_of_day_stays_a_column():
    table = read_table(pd.DataFrame({"date": ["2024-02-29"], "time": [MOMENT]}))
    assert with_joined_time(table) is table


# Lists


@pytest.mark.parametrize(
    "values",
    [
        [["a", "b"], ["c"]],
        [("a", "b"), ("c",)],
        [{"b", "a"}, {"c"}],
        [np.array(["a", "b"]), np.array(["c"])],
        ["['a', 'b']", "['c']"],
        ['["a", "b"]', '["c"]'],
        ["['a' 'b']", "['c']"],
    ],
)
def test_lists_are_lists_however_they_are_written(values):
    table = read_table(pd.DataFrame({"tags": pd.Series(values, dtype=object)}))
    assert table.lists == {"tags"}
    assert table.frame["tags"].tolist() == ["a|b", "c"]


def test_lists_may_be_missing():
    table = read_table(pd.DataFrame({"tags": pd.Series([None, ["a", "b"], []], dtype=object)}))
    assert table.frame["tags"].tolist() == ["", "a|b", ""]


@pytest.mark.parametrize("values", [["[REC]", "[REC] 2"], ["[1, 2", "x"], ["", ""], [1, 2]])
def test_texts_in_brackets_are_no_lists(values):
    table = read_table(pd.DataFrame({"title": values}))
    assert not table.lists
    assert table.frame["title"].tolist() == values


def test_a_table_that_is_renamed_keeps_its_lists():
    table = Table(pd.DataFrame({"a": ["x|y"]}), "t", lists=frozenset({"a"}))
    assert table.renamed({"a": "b"}).lists == {"b"}
