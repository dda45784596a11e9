"""Text files, compressed or not: their encoding, and what separates the fields of a line."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import dataclasses
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypedDict

from zoo.errors import UserError
from zoo.memory import check_memory

# The separators that are looked for, likeliest first.
SEPARATORS = (",", "\t", ";", "|", "::")

# Stands for a separator of several characters, because parsers are fast with a single one. No text has it.
UNIT_SEPARATOR = "\x1f"

# What a file begins with that says its encoding.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Encodings that older programs write, which are told apart by the letters that they make of the bytes.
_OLD_ENCODINGS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("koi8_r", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)

# How much of a file tells its encoding, its separator and whether it has a header.
_SAMPLE_BYTES, _SAMPLE_ROWS = 1_000_000, 200

# Bytes of memory that a byte of text takes once it is a table.
_GROWTH = 4


class CsvFormat(TypedDict):
    """What `csv.reader` is told of a file."""

    delimiter: str
    quoting: Literal[0, 3]


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    if len(names) != 1:
        raise UserError(f"{path}: holds {len(names)} files. Unpack the one with the table, and name that.")
    return archive.open(names[0])


_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zip": _open_zip,
}
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zipfile.BadZipFile)


def plain_suffix(path: Path) -> str:
    """The suffix of a file, in small letters, without that of its compression.

    Example:

    >>> plain_suffix(Path("ratings.CSV.gz"))
    '.csv'
    """
    inner = Path(path.stem) if path.suffix.lower() in _OPENERS else path
    return inner.suffix.lower()


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The bytes of a file, unpacked.

    Args:
        path: The file.
        most: How many bytes to read; by default all.

    Raises:
        UserError: If the file cannot be read or unpacked, or all of it would not fit into memory as a table.
    """
    open_file = _OPENERS.get(path.suffix.lower())
    try:
        if most is None:
            _check_size(path)
        if open_file is None:
            with path.open("rb") as plain:
                return plain.read(-1 if most is None else most)
        with open_file(path) as packed:
            return packed.read(-1 if most is None else most)
    except PermissionError as error:
        raise UserError(f"{path}: may not be read ({error.strerror}). Change its permissions.") from error
    except _DAMAGED as error:
        raise UserError(f"{path}: cannot be unpacked ({error}). It may be cut short, so write it anew.") from error


def _check_size(path: Path) -> None:
    """Raises a `UserError` if the table of a file would not fit into memory. Packed bytes are counted unpacked."""
    open_file, size = _OPENERS.get(path.suffix.lower()), path.stat().st_size
    if open_file is not None:
        size = 0
        with open_file(path) as packed:
            while block := packed.read(1 << 24):
                size += len(block)
                _check_fits(path, size)
    _check_fits(path, size)


def _check_fits(path: Path, size: int) -> None:
    mend = "Write the interactions as Parquet and stream them (data.stream=true), or leave out what is not needed."
    check_memory(f"{path}: a table of {size:,} bytes", size * _GROWTH, mend)


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A text file with a table in it, a record a line.

    Args:
        path: The file, which may be packed.
        encoding: Its encoding.
        separator: What separates the fields.
    """

    path: Path
    encoding: str
    separator: str

    def text(self, data: bytes | None = None) -> str:
        """All of it, with separators of one character.

        Args:
            data: Its bytes, where they are read already.

        Raises:
            UserError: If a byte is not of the encoding.
        """
        text = decoded(self.path, read_bytes(self.path) if data is None else data, self.encoding)
        return text if len(self.separator) == 1 else text.replace(self.separator, UNIT_SEPARATOR)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[str]]:
        """The text, to be read line by line."""
        yield io.StringIO(self.text(), newline="")

    def csv_format(self) -> CsvFormat:
        """How `csv.reader` is to read `text`. Files with separators of several characters have no quotes."""
        if len(self.separator) == 1:
            return {"delimiter": self.separator, "quoting": csv.QUOTE_MINIMAL}
        return {"delimiter": UNIT_SEPARATOR, "quoting": csv.QUOTE_NONE}


def decoded(path: Path, data: bytes, encoding: str) -> str:
    """Bytes of a file as text.

    Raises:
        UserError: If a byte is not of the encoding, or there is no such encoding.
    """
    check_encoding(path, encoding)
    try:
        return data.decode(encoding)
    except UnicodeError as error:
        at = getattr(error, "start", "?")
        raise UserError(f"{path}: is not {encoding} text (byte {at}). Say which encoding it has (encoding).") from error


def check_encoding(path: Path, encoding: str) -> None:
    """Raises a `UserError` if there is no such encoding of text."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    except LookupError as error:
        raise UserError(f"{path}: there is no encoding {encoding!r}. Expected e.g. utf-8 or cp1252.") from error


def find_encoding(path: Path, data: bytes) -> str:
    """The encoding of a text file: by its first bytes, else UTF-8 if it is that, else the likeliest of older ones.

    Args:
        path: The file, for errors.
        data: Its bytes.

    Raises:
        UserError: If it is no text.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return encoding
    if b"\0" in data[:_SAMPLE_BYTES]:
        raise UserError(f"{path}: is no text, because it has bytes of zero. Name a file of another kind by its suffix.")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _old_encoding(path, data[max(0, error.start - _SAMPLE_BYTES // 2) : error.start + _SAMPLE_BYTES // 2])
    return "utf-8"


def _old_encoding(path: Path, sample: bytes) -> str:
    from charset_normalizer import from_bytes

    matches = list(from_bytes(sample, cp_isolation=list(_OLD_ENCODINGS)))
    # Among those that read equally well, the one of Western Europe is the most frequent.
    best = [match for match in matches if match.chaos == matches[0].chaos]
    if best and not any("cp1252" in (match.encoding, *match.could_be_from_charset) for match in best):
        return best[0].encoding
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: its encoding could not be told. Say which it is, e.g. encoding: cp1252.") from error
    return "cp1252"


def find_separator(path: Path, encoding: str, data: bytes) -> str:
    """The separator of a text file: the one by which most of the first lines have as many fields as the first line.

    Args:
        path: The file.
        encoding: Its encoding.
        data: Its bytes.
    """
    fits = {separator: _fit(first_rows(TextFile(path, encoding, separator), data)) for separator in SEPARATORS}
    return max(SEPARATORS, key=lambda separator: fits[separator])


def _fit(rows: list[list[str]]) -> tuple[bool, float, int]:
    """How well a separator fits: whether there are fields at all, share of rows as long as the first, its fields."""
    lengths = [len(row) for row in rows if row]
    if not lengths or lengths[0] < 2:
        return False, 0.0, 0
    return True, round(lengths.count(lengths[0]) / len(lengths), 1), lengths[0]


def first_rows(file: TextFile, data: bytes) -> list[list[str]]:
    """The first records of a file, whose bytes are given, field by field."""
    sample = data[:_SAMPLE_BYTES]
    text = sample.decode(file.encoding, "ignore")
    if len(file.separator) > 1:
        text = text.replace(file.separator, UNIT_SEPARATOR)
    lines = text.splitlines(keepends=True)
    if len(sample) == _SAMPLE_BYTES and len(lines) > 1:
        lines = lines[:-1]  # It may be cut.
    rows = []
    with contextlib.suppress(csv.Error):
        for row in csv.reader(lines, **file.csv_format()):
            rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                break
    return rows
