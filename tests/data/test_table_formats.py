from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from zoo.data.reading import read_table
from zoo.data.tables import Reading
from zoo.data.values import distinct
from zoo.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# Kinds of files

ROWS = [["u1", "i1", "5", "978300760"], ["u2", "i2", "3.5", "978300761"], ["u1", "i3", "4", "978300762"]]
NAMES = ["user", "item", "rating", "timestamp"]


def as_written(table) -> list[list[str]]:
    """The values of a table as texts, numbers without superfluous zeros."""
    return [
        [f"{value:.15g}" if isinstance(value, float) else str(value) for value in row] for row in table.frame.values
    ]


def typed() -> pd.DataFrame:
    frame = pd.DataFrame(ROWS, columns=NAMES)
    return frame.astype({"rating": float, "timestamp": int})


def text_with(separator: str, *, header: bool = True) -> str:
    return "".join(separator.join(row) + "\n" for row in ([NAMES] if header else []) + ROWS)


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["a.csv", "a.dat", "a.txt", "u.data", "ratings"])
def test_separator_and_header_are_found_out(tmp_path, separator, header, name):
    table = read_table(write(tmp_path / name, text_with(separator, header=header)))
    assert as_written(table) == ROWS
    assert list(table.frame) == (NAMES if header else ["1", "2", "3", "4"])
    assert table.has_header is header


@pytest.mark.parametrize(("suffix", "opened"), [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)])
def test_packed_text_is_unpacked(tmp_path, suffix, opened):
    path = tmp_path / f"a.csv{suffix}"
    with opened(path, "wt", encoding="utf-8") as file:
        file.write(text_with(","))
    assert as_written(read_table(path)) == ROWS
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"a\.csv.*: cannot be unpacked"):
        read_table(path)


def test_a_zip_of_one_file_is_unpacked_and_one_of_two_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("a.csv", text_with(";"))
    assert as_written(read_table(tmp_path / "a.csv.zip")) == ROWS
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "a") as archive:
        archive.writestr("b.csv", "x")
    with pytest.raises(UserError, match="holds 2 files"):
        read_table(tmp_path / "a.csv.zip")


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("latin-1", "Café Größe"),
        ("cp1252", "Hôtel «été» €"),
        ("utf-16", "Café"),
        ("utf-8-sig", "Café"),
        ("cp1250", "Zażółć gęślą jaźń, książka"),
        ("cp1251", "Война и мир"),
        ("cp932", "千と千尋の神隠し"),
        ("gb18030", "战争与和平"),
    ],
)
def test_the_encoding_is_found_out(tmp_path, encoding, title):
    path = tmp_path / "a.csv"
    path.write_bytes(("user,title\n" + f'1,"{title}"\n' * 50).encode(encoding))
    table = read_table(path)
    assert table.frame["title"].iloc[0] == title
    assert any("its encoding is" in note for note in table.notes) is (not encoding.startswith("utf"))


def test_what_the_user_says_of_a_text_file_wins(tmp_path):
    path = write(tmp_path / "a.csv", "1|a,b\n2|c,d\n")
    reading = Reading(separator="|", header=False, encoding="utf-8")
    assert read_table(path, reading=reading).frame.to_numpy().tolist() == [["1", "a,b"], ["2", "c,d"]]
    assert not read_table(path, reading=reading).notes
    with pytest.raises(UserError, match="there is no encoding 'utf-99'"):
        read_table(path, reading=Reading(encoding="utf-99"))
    with pytest.raises(UserError, match=r"is not ascii text \(byte 2\)"):
        read_table(write(path, "a,é\n"), reading=Reading(encoding="ascii"))


def write_sqlite(path: Path, tables: dict[str, pd.DataFrame]) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as database:
        for name, frame in tables.items():
            frame.to_sql(name, database, index=False)
        database.commit()
    return path


def write_duckdb(path: Path, tables: dict[str, pd.DataFrame]) -> Path:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(path)) as database:
        for name, frame in tables.items():
            database.register("given", frame)
            database.execute(f'CREATE TABLE "{name}" AS SELECT * FROM given')
    return path


def write_excel(path: Path, tables: dict[str, pd.DataFrame]) -> Path:
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(path) as writer:
        for name, frame in tables.items():
            frame.to_excel(writer, sheet_name=name, index=False)
    return path


def write_stream(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


WRITERS = {
    "a.json": lambda frame, path: frame.to_json(path, orient="records"),
    "b.json": lambda frame, path: frame.to_json(path, orient="columns"),
    "c.json": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "a.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "a.jsonl.gz": lambda frame, path: frame.to_json(path, orient="records", lines=True, compression="gzip"),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.feather": lambda frame, path: frame.to_feather(path),
    "a.arrow": lambda frame, path: frame.to_feather(path),
    "a.arrows": write_stream,
    "parquet_without_suffix": lambda frame, path: frame.to_parquet(path),
    "a.xlsx": lambda frame, path: write_excel(path, {"visits": frame}),
    "a.db": lambda frame, path: write_sqlite(path, {"visits": frame}),
    "a.sqlite": lambda frame, path: write_sqlite(path, {"visits": frame}),
    "a.duckdb": lambda frame, path: write_duckdb(path, {"visits": frame}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_loads_without_an_option(tmp_path, name):
    WRITERS[name](typed(), tmp_path / name)
    table = read_table(tmp_path / name)
    assert list(table.frame) == NAMES
    assert as_written(table) == ROWS


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_cut_short_is_an_error_with_its_path(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](pd.concat([typed()] * 500, ignore_index=True), path)
    whole = path.read_bytes()
    for keep in (0, 10, len(whole) // 2 + 3, len(whole) - 5):
        path.write_bytes(whole[:keep])
        with pytest.raises(UserError, match=re.escape(name)):
            read_table(path)


@pytest.mark.parametrize(
    ("written", "name", "what"),
    [(write_sqlite, "a.db", "table"), (write_duckdb, "a.duckdb", "table"), (write_excel, "a.xlsx", "sheet")],
)
def test_of_several_tables_one_must_be_named(tmp_path, written, name, what):
    path = written(tmp_path / name, {"visits": typed(), "people": pd.DataFrame({"user": ["u1"]})})
    with pytest.raises(UserError, match=rf"has 2 {what}s: people, visits\. Say which, e\.g\. table: people"):
        read_table(path)
    with pytest.raises(UserError, match=f"Unknown {what} 'visit'. Did you mean 'visits'"):
        read_table(path, reading=Reading(table="visit"))
    assert as_written(read_table(path, reading=Reading(table="visits"))) == ROWS


@pytest.mark.parametrize(("name", "option"), [("a.parquet", "separator"), ("a.csv", "table"), ("a.jsonl", "header")])
def test_an_option_without_effect_is_an_error(tmp_path, name, option):
    WRITERS.get(name, lambda frame, path: frame.to_csv(path, index=False))(typed(), tmp_path / name)
    with pytest.raises(UserError, match=rf"where {option} has no effect"):
        read_table(tmp_path / name, reading=Reading(**{option: False if option == "header" else "x"}))


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".db", ".jsonl"])
def test_large_integers_beside_gaps_lose_no_digit(tmp_path, suffix):
    path, large = tmp_path / f"a{suffix}", 2**60 + 1
    if suffix == ".jsonl":
        path.write_text(f'{{"user": {large}}}\n{{"user": null}}\n', encoding="utf-8")
    elif suffix == ".db":
        write_sqlite(path, {"a": pd.DataFrame({"user": pd.array([large, None], dtype="Int64")})})
    else:
        frame = pd.DataFrame({"user": pd.array([large, None], dtype="Int64")})
        frame.to_parquet(path) if suffix == ".parquet" else frame.to_feather(path)
    assert distinct(read_table(path).frame["user"])[1].tolist() == [str(large)]


def test_bytes_of_parquet_are_text(tmp_path):
    pa.parquet.write_table(pa.table({"user": pa.array([b"u1", None, b"\xff"])}), tmp_path / "a.parquet")
    assert distinct(read_table(tmp_path / "a.parquet").frame["user"])[1].tolist() == ["u1", "\\xff"]


def test_records_in_a_column_of_parquet_are_an_error(tmp_path):
    pa.parquet.write_table(pa.table({"user": [{"id": 1}], "item": [2]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet, column 'user': holds records"):
        read_table(tmp_path / "a.parquet")


def test_nested_json_makes_columns(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"user": {"id": 7}, "item": 1, "tags": ["a", "b"]}\n')
    table = read_table(path)
    assert table.frame.to_dict("list") == {"user.id": [7], "item": [1], "tags": ["a|b"]}
    assert table.lists == {"tags"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"user": 1}\n{"user": \n', "row 2: is no JSON"),
        ('{"user": 1}\n[1]\n', "row 2: expected a record in braces"),
        ("5", "row 1: expected a record|Expected a path"),
        ("[" * 100_000, "nested too deeply|is no JSON"),
        ('{"user": [1, 2], "item": [1]}', "its columns differ in length"),
    ],
)
def test_json_that_is_no_table_is_an_error(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_table(write(tmp_path / "a.json", text))


# What is in memory


def test_frames_and_records_of_all_kinds_are_tables():
    polars = pytest.importorskip("polars")
    sources = [
        typed(),
        polars.from_pandas(typed()),
        pa.Table.from_pandas(typed()),
        typed().to_dict("records"),
        typed().to_dict("list"),
    ]
    for source in sources:
        table = read_table(source, name="visits")
        assert list(table.frame) == NAMES
        assert as_written(table) == ROWS
    for source in (ROWS, np.array(ROWS), [tuple(row) for row in ROWS]):
        assert as_written(read_table(source)) == ROWS
        assert not read_table(source).has_header


@pytest.mark.parametrize(
    "source", [7, None, "", [1, 2], ["a"], {"user": 7}, {"user": [1], "item": [1, 2]}, np.zeros(3)]
)
def test_what_is_no_table_is_an_error(source):
    with pytest.raises(UserError):
        read_table(source, name="visits")


def test_a_polars_query_that_has_not_run_is_an_error():
    polars = pytest.importorskip("polars")
    with pytest.raises(UserError, match="visits: is a query that has not run yet"):
        read_table(polars.from_pandas(typed()).lazy(), name="visits")


# Databases


def test_a_url_names_a_table_of_a_database(tmp_path):
    pytest.importorskip("sqlalchemy")
    path = write_sqlite(tmp_path / "shop", {"visits": typed()})
    assert as_written(read_table(f"sqlite:///{path}")) == ROWS
    with pytest.raises(UserError, match="Unknown table 'nothing'"):
        read_table(f"sqlite:///{path}", reading=Reading(table="nothing"))
    with pytest.raises(UserError, match=r"sqlite:///.*: the table could not be read"):
        read_table(f"sqlite:///{tmp_path}/nowhere/shop")


def test_a_password_is_not_kept_in_a_url(monkeypatch):
    pytest.importorskip("sqlalchemy")
    with pytest.raises(UserError, match=r"postgresql://ada:\*\*\*@host/shop: a run keeps the URL"):
        read_table("postgresql://ada:secret@host/shop")
    monkeypatch.setenv("SHOP_PASSWORD", "secret")
    with pytest.raises(UserError) as error:
        read_table("nosuch://ada:$SHOP_PASSWORD@host/shop")
    assert "secret" not in str(error.value)
