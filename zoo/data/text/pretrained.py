"""The base of encoders with a pretrained model: the cache, the reduction, and their errors."""

from __future__ import annotations

import abc
import contextlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from zoo.data.text.cache import VectorCache, digest
from zoo.data.text.encoder import Fitted, TextEncoder, principal_components
from zoo.errors import UserError
from zoo.files import describe_files

Encode = Callable[[list[str]], np.ndarray]

# Texts that are encoded, and then kept, at a time.
BATCH = 1024


class PretrainedEncoder(TextEncoder):
    """Vectors of a pretrained model, of length one.

    They are kept on disk (see `VectorCache`), so the model is loaded only for texts that it has not seen yet.

    Args:
        dim: The largest width of a vector; wider ones are reduced to it by a truncated SVD of the vectors of the
            catalogue. By default they stay as wide as the model gives them.
        model: The model: a folder, or a name that the package knows.
        fitted: What an earlier `fit` returned, to encode without fitting.

    Raises:
        UserError: If no model is named.
    """

    package: ClassVar[str]
    # The models that may be given, in words.
    takes: ClassVar[str]

    def __init__(self, dim: int | None = None, *, model: str = "", fitted: Mapping[str, object] | None = None) -> None:
        super().__init__(dim, model=model, fitted=fitted)
        if fitted:
            self.model = str(fitted["model"])
        elif not model.strip():
            raise UserError(f"The text encoder {self.name!r} needs {self.takes}: '{self.name}:...'.")
        elif Path(model).expanduser().is_dir():
            self.model = str(Path(model).expanduser().resolve())
        self._known: dict[str, np.ndarray] = {}

    @abc.abstractmethod
    def _open(self) -> contextlib.AbstractContextManager[Encode]:
        """The loaded model, as a function from texts to vectors."""

    def fit(self, texts: Iterable[str]) -> Fitted:
        """Notes the model, and learns the reduction if its vectors are wider than `dim`."""
        texts = list(filter(str.strip, texts))
        self.fitted = {"encoder": self.name, "model": self.model, "identity": self._identity()}
        if texts:
            self._fit_reduction(self._vectors(texts))
        else:
            self.fitted["components"] = np.zeros((1, 0), np.float32)
        return self.fitted

    def _fit_reduction(self, vectors: np.ndarray) -> None:
        self.fitted["width"] = vectors.shape[1]
        if self.dim is not None and self.dim < vectors.shape[1]:
            self.fitted["components"] = principal_components(vectors, min(self.dim, len(vectors)))

    def encode(self, texts: Iterable[str]) -> np.ndarray:
        """The vectors of the texts, from the cache where it has them."""
        texts = list(texts)
        if "components" not in self.fitted:
            return self._vectors(texts)
        components = np.asarray(self.fitted["components"])
        if not components.size:  # there was no text to fit
            return np.zeros((len(texts), 1), np.float32)
        return _unit(self._vectors(texts) @ components.T)

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """The model's vectors of the texts, float32 `[texts, width of the model]`."""
        # Half a surrogate pair is no text that a model could read.
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
        cache = VectorCache(self.name, str(self.fitted["identity"]))
        self._known |= cache.read(self._unknown(texts))
        unknown = self._unknown(texts)
        if unknown:
            self._ask_model(unknown, cache)
        nothing = np.zeros(self._width, np.float32)
        return np.array([self._known.get(text, nothing) for text in texts], np.float32).reshape(-1, len(nothing))

    @property
    def _width(self) -> int:
        """The width of the model's vectors: the fitted one, else that of the vectors that are there."""
        width = self.fitted.get("width")
        return width if isinstance(width, int) and width else len(next(iter(self._known.values())))

    def _unknown(self, texts: Iterable[str]) -> list[str]:
        """The distinct texts that say something and have no vector yet."""
        return [text for text in dict.fromkeys(texts) if text.strip() and text not in self._known]

    def _ask_model(self, texts: list[str], cache: VectorCache) -> None:
        """Loads the model and keeps what it gives for texts."""
        self._check_model()
        with self._open() as encode:
            for start in range(0, len(texts), BATCH):
                batch = texts[start : start + BATCH]
                vectors = _unit(encode(batch))
                if not np.isfinite(vectors).all():
                    raise UserError(f"The model {self.model!r} gives vectors that are not finite. Choose another.")
                cache.write(batch, vectors)
                self._known.update(zip(batch, vectors, strict=True))

    def _identity(self) -> str:
        """A text that tells the model from others: the content of its folder, or else its name."""
        folder = Path(self.model)
        if folder.is_dir():
            return digest(json.dumps(describe_files(folder, but="")))
        if folder.is_absolute() or folder.exists() or self.model.startswith((".", "~")):
            raise UserError(f"The text encoder {self.name!r}: there is no folder {self.model}. Give {self.takes}.")
        return self.model

    def _check_model(self) -> None:
        if self._identity() != self.fitted["identity"]:
            raise UserError(
                f"{self.model}: not the model that the texts were encoded with by {self.name!r}, because its files "
                "differ. Put that one there, or train anew."
            )
        if importlib.util.find_spec(self.package) is None:
            raise self._not_installed(self.package)

    def _not_installed(self, package: str | None) -> UserError:
        return UserError(
            f"The text encoder {self.name!r} needs the package {package}, which cannot be imported: "
            'pip install "recozoo[text]".'
        )

    def _not_loaded(self, reason: str) -> UserError:
        line = next(iter(reason.strip().splitlines()), "no reason given").rstrip(".")
        return UserError(
            f"The text encoder {self.name!r} cannot load the model {self.model!r} ({line}). Give {self.takes}."
        )


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one, float32; zeros stay zeros."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
