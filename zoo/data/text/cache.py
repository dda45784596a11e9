"""Vectors of texts that were encoded before, on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zoo.arrays import load_arrays, save_arrays
from zoo.files import cache_folder


def digest(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class VectorCache:
    """The vectors that one model gave, by the SHA-256 of their texts.

    They are in a folder of the model's own, in files that appear whole or not at all. A file that is damaged
    is removed, and the texts in it are encoded again.

    Args:
        encoder: The name of the encoder.
        identity: What tells its model from others.
    """

    def __init__(self, encoder: str, identity: str) -> None:
        self.folder = cache_folder() / "texts" / digest(f"{encoder}:{identity}")

    def read(self, texts: Iterable[str]) -> dict[str, np.ndarray]:
        """The vectors of those of the texts that were kept."""
        wanted = {digest(text): text for text in texts}
        if not wanted:
            return {}
        entries = (entry for path in sorted(self.folder.glob("*.npz")) for entry in self._entries(path))
        return {wanted[key]: vector for key, vector in entries if key in wanted}

    def write(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Keeps the vectors of texts, float32 `[texts, width]`; a warning says so if they cannot be written."""
        keys = [digest(text) for text in texts]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".unfinished-") as unfinished:
                made = Path(unfinished) / f"{digest(''.join(keys))}.npz"
                save_arrays(made, {"keys": np.array(keys), "vectors": vectors}, compressed=False)
                os.replace(made, self.folder / made.name)
        except OSError as error:
            warnings.warn(f"{self.folder}: cannot keep vectors of texts ({error.strerror}).", stacklevel=2)

    @staticmethod
    def _entries(path: Path) -> list[tuple[str, np.ndarray]]:
        try:
            arrays = load_arrays(path)
            keys, vectors = arrays["keys"], arrays["vectors"]
            if keys.dtype.kind != "U" or vectors.dtype != np.float32 or vectors.ndim != 2:
                raise ValueError("other arrays than were written")
            return list(zip(keys.tolist(), vectors, strict=True))
        except Exception:  # a damaged file can raise nearly anything, and none of it matters
            with contextlib.suppress(OSError):
                path.unlink()
            return []
