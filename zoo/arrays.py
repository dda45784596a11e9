"""Named arrays in a file, never as pickles."""

from __future__ import annotations

import contextlib
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UserError
from zoo.memory import check_memory

# What reading a damaged file of arrays may raise: the file, the archive in it, the compression and NumPy's headers.
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, OverflowError, RuntimeError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
)


def save_arrays(path: Path, arrays: Mapping[str, Any], compressed: bool = True) -> None:
    """Writes named arrays into an `.npz` file.

    Args:
        path: The file.
        arrays: The arrays by name.
        compressed: Whether to compress them. Random numbers would not get smaller.
    """
    (np.savez_compressed if compressed else np.savez)(path, **arrays)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `save_arrays` wrote.

    Raises:
        UserError: If the file cannot be read as such, or its arrays do not fit in memory.
    """
    with open_arrays(path) as arrays:
        sizes = {name: array_bytes(shape, dtype) for name, (shape, dtype) in array_shapes(path).items()}
        check_memory(f"{path}", sum(sizes.values()), "Make it anew, or use a machine with more memory.")
        return {name: arrays[name] for name in arrays}


@contextlib.contextmanager
def open_arrays(path: Path, mend: str = "Make it anew.") -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays in a file, each of which is read when it is asked for.

    Args:
        path: The file.
        mend: What to do about a damaged file, a sentence.

    Raises:
        UserError: If the file cannot be read, or what is done with it meanwhile shows that it is damaged.
    """
    try:
        array_shapes(path)
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except UserError:
        raise
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: not readable as arrays ({reason}). {mend}") from error


def array_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The shape and the type of every array in a file, by name. Nothing is unpacked.

    Raises:
        ValueError: Or another of `UNREADABLE`, if the file is damaged, e.g. if an array is not as large as it says.
    """
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                major, _ = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
                name, held = member.filename.removesuffix(".npy"), member.file_size - file.tell()
            if dtype.hasobject or array_bytes(shape, dtype) != held:
                raise ValueError(f"{name} holds {held} bytes, which is not an array of {shape} {dtype}")
            found[name] = shape, dtype
    return found


def array_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """The bytes that an array takes."""
    return math.prod(shape) * dtype.itemsize
