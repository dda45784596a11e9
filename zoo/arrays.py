"""Named arrays in a file, never as pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UserError


def save_arrays(path: Path, arrays: Mapping[str, Any], compressed: bool = True) -> None:
    """Writes named arrays into an `.npz` file.

    Args:
        path: The file.
        arrays: The arrays by name.
        compressed: Whether to compress them. Random numbers would not get smaller.
    """
    (np.savez_compressed if compressed else np.savez)(path, **arrays)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `save_arrays` wrote. Raises a `UserError` if the file cannot be read as such."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not readable as arrays ({error}). Make it anew.") from error
