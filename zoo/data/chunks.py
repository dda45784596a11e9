"""Large files a chunk of rows at a time: Parquet and TFRecord, with errors that name file, row and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoo.data.table import Table, repeated
from zoo.data.tables import missing_file
from zoo.errors import UserError

if TYPE_CHECKING:
    import pyarrow
    import tensorflow as tf

SUFFIXES = (".parquet", ".tfrecord")
_KINDS = " or ".join(SUFFIXES)

# Rows in memory at a time.
CHUNK_ROWS = 2**19

# Records of a TFRecord file that tell which features there are.
FIRST_RECORDS = 100


def list_files(source: str | Path) -> list[Path]:
    """The files that are read one after the other.

    Args:
        source: A `.parquet` or `.tfrecord` file, or a folder of files of one of these kinds.

    Returns:
        The file, or those of the folder in the order of their names.

    Raises:
        UserError: If there is no such file, or a folder holds none of them or both kinds.
    """
    path = Path(source)
    if path.is_dir():
        return _files_in(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{path}: cannot be streamed. Expected a {_KINDS} file or a folder of them; "
            "leave data.stream out to read it into memory."
        )
    if not path.exists():
        raise missing_file(path)
    return [path]


def _files_in(folder: Path) -> list[Path]:
    """The files of a folder, which are all of one kind."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    suffixes = sorted({file.suffix.lower() for file in files})
    if not suffixes:
        raise UserError(f"{folder}: has no {_KINDS} files. Name the folder that they are in.")
    if len(suffixes) > 1:
        raise UserError(f"{folder}: has both {' and '.join(suffixes)} files. Keep one kind in a folder.")
    return files


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file, or the features of the first records of a TFRecord file.

    Args:
        path: The file.

    Returns:
        Their names; none where a TFRecord file has no records.

    Raises:
        UserError: If the file cannot be read.
    """
    names = _parquet_columns(path) if _is_parquet(path) else list(_feature_kinds(path))
    twice = repeated(names)
    if twice:
        raise UserError(f"{path}: has the column {twice[0]!r} more than once. Rename or drop one.")
    return names


def read_chunks(path: Path, columns: list[str]) -> Iterator[Table]:
    """Some columns of a file, chunk by chunk.

    Args:
        path: The file.
        columns: Names among its `column_names`.

    Yields:
        Tables of up to `CHUNK_ROWS` rows, with the values as they were written. Rows are counted from 1
        over the whole file.

    Raises:
        UserError: If the file is damaged, or a record lacks a feature or has several values of it.
    """
    done = 0
    for frame in _parquet_frames(path, columns) if _is_parquet(path) else _record_frames(path, columns):
        yield Table(frame.set_axis(np.arange(done + 1, done + len(frame) + 1), axis=0), str(path))
        done += len(frame)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _parquet_columns(path: Path) -> list[str]:
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise _unreadable(path, error) from error
    # An index of pandas without a name is no column of the user's.
    return [name for name in schema.names if not name.startswith("__index_level_")]


def _parquet_frames(path: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_single(path, file.schema_arrow, columns)
            for batch in file.iter_batches(CHUNK_ROWS, columns=columns):
                # The metadata of pandas are left out, because they may make an index of a column.
                yield pyarrow.table({name: _decoded(batch.column(name)) for name in columns}).to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _check_single(path: Path, schema: pyarrow.Schema, columns: list[str]) -> None:
    """Raises a `UserError` if a column has lists or records as values."""
    import pyarrow

    for name in columns:
        kind = schema.field(name).type
        if pyarrow.types.is_nested(kind):
            raise UserError(f"{path}: column {name!r} has values of type {kind}. Expected single values.")


def _decoded(values: pyarrow.Array) -> pyarrow.Array:
    """Categories as what they stand for."""
    return values.dictionary_decode() if hasattr(values, "dictionary_decode") else values


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not readable as Parquet ({error}). It may be cut short, so write it anew.")


def _feature_kinds(path: Path) -> dict[str, str]:
    """The features of the first records and what each holds: `"bytes_list"`, `"float_list"` or `"int64_list"`."""
    kinds: dict[str, str] = {}
    for number, record in _records(path, limit=FIRST_RECORDS):
        kinds = {**_kinds(_parsed(path, number, record)), **kinds}
    return dict(sorted(kinds.items()))


def _record_frames(path: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    import tensorflow as tf

    found = _feature_kinds(path)
    kinds = {name: found[name] for name in columns}
    done = 0
    try:
        for chunk in _parsed_chunks(path, kinds):
            values = {name: _single_values(path, name, done, chunk[name]) for name in columns}
            yield pd.DataFrame(values)
            done += len(next(iter(values.values())))
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError):  # TensorFlow's message may quote a record
        raise _bad_record(path, done, kinds) from None
    except tf.errors.DataLossError as error:
        raise _bad_record(path, done, {}) from error


def _parsed_chunks(path: Path, kinds: dict[str, str]) -> tf.data.Dataset:
    """The records of a file in chunks, each a ragged tensor by feature."""
    import tensorflow as tf

    types = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    features = {name: tf.io.RaggedFeature(types[kind]) for name, kind in kinds.items()}
    chunks = tf.data.TFRecordDataset(str(path)).batch(CHUNK_ROWS)
    return chunks.map(lambda records: tf.io.parse_example(records, features)).prefetch(1)


def _single_values(path: Path, name: str, done: int, values: tf.RaggedTensor) -> np.ndarray | list[str]:
    lengths = values.row_lengths().numpy()
    if (lengths != 1).any():
        at = int(np.argmax(lengths != 1))
        received = f"{lengths[at]} values" if lengths[at] else "nothing"
        raise UserError(f"{path}, row {done + at + 1}, column {name!r}: expected one value. Received: {received}.")
    flat = values.flat_values.numpy()
    return flat if flat.dtype != object else _decoded_texts(path, name, done, flat)


def _decoded_texts(path: Path, name: str, done: int, flat: np.ndarray) -> list[str]:
    try:
        return [value.decode() for value in flat]
    except UnicodeDecodeError:
        at = next(i for i, value in enumerate(flat) if value.decode(errors="replace").encode() != value)
        place = f"{path}, row {done + at + 1}, column {name!r}"
        raise UserError(f"{place}: expected UTF-8 text. Received: {flat[at]!r}.") from None


def _records(path: Path, skip: int = 0, limit: int = -1) -> Iterator[tuple[int, bytes]]:
    """The records of a file with their numbers, counted from 1; at most `limit` of them if that is not -1."""
    import tensorflow as tf

    number = skip
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(str(path)).skip(skip).take(limit), skip + 1):
            yield number, record.numpy()
    except tf.errors.DataLossError as error:
        raise UserError(f"{path}: is damaged after row {number}, or no TFRecord file. Write it anew.") from error
    except tf.errors.OpError as error:
        raise UserError(f"{path}: cannot be read ({error.message}). Write it anew.") from error


def _bad_record(path: Path, done: int, kinds: dict[str, str]) -> UserError:
    """The error for the first record that is not as those before it; only called where there is one."""
    for number, record in _records(path, done):
        found = _kinds(_parsed(path, number, record))
        for name, kind in kinds.items():
            if found.get(name, kind) != kind:
                place = f"{path}, row {number}, column {name!r}"
                return UserError(f"{place}: expected {kind}, as in the first rows. Received: {found[name]}.")
    raise AssertionError(f"{path}: every record is right")


def _parsed(path: Path, number: int, record: bytes) -> tf.train.Example:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        return tf.train.Example.FromString(record)
    except DecodeError:
        raise UserError(f"{path}, row {number}: is no tf.train.Example. Write it anew.") from None


def _kinds(example: tf.train.Example) -> dict[str, str]:
    """The kind of list that each feature of an example holds, for features that hold one."""
    kinds = {name: feature.WhichOneof("kind") for name, feature in example.features.feature.items()}
    return {name: kind for name, kind in kinds.items() if kind}
