from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo.data.reading import read_table
from zoo.data.values import ids, numbers
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


def test_a_file_that_is_no_table_gives_the_kinds_that_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\0\0")
    with pytest.raises(UserError, match=r"a\.png: cannot be read as a table\. Expected one of: \.csv, .*\.parquet"):
        read_table(tmp_path / "a.png")


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
