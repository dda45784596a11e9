"""Text features: what turns a text into a vector, and does it again from its stored state alone."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zoo.errors import UserError, unknown_name


class TextEncoder(abc.ABC):
    """Turns texts into vectors of a fixed width.

    Args:
        dim: The largest width of a vector.
        fitted: What an earlier `fit` returned, to encode without fitting.
    """

    def __init__(self, dim: int = 64, fitted: Mapping[str, Any] | None = None) -> None:
        if dim < 1:
            raise UserError(f"A text encoder needs dim of at least 1. Received: {dim}.")
        self.dim = dim
        self.fitted: dict[str, Any] = dict(fitted or {})

    @abc.abstractmethod
    def fit(self, texts: Iterable[str]) -> dict[str, Any]:
        """Learns from the texts.

        Args:
            texts: The texts of the catalogue.

        Returns:
            All that `encode` needs, as arrays and JSON-ready values, with the name of the
            encoder as `"encoder"`.
        """

    @abc.abstractmethod
    def encode(self, texts: Iterable[str]) -> np.ndarray:
        """The vectors of the texts, float32 `[texts, width]`; an empty text is all zeros."""


class TfidfEncoder(TextEncoder):
    """TF-IDF over words, reduced by a singular value decomposition, of length one."""

    MAX_TERMS = 20_000

    def fit(self, texts: Iterable[str]) -> dict[str, Any]:
        """Learns terms, their weights and the reduction."""
        from sklearn.decomposition import TruncatedSVD

        texts = list(texts)
        vectorizer = self._vectorizer(max_features=self.MAX_TERMS)
        try:
            weights = vectorizer.fit_transform(texts)
        except ValueError:  # not a single word in all the texts
            nothing = np.zeros((1, 0), np.float32)
            self.fitted = {"encoder": "tfidf", "terms": [], "idf": np.zeros(0), "components": nothing}
            return self.fitted
        width = max(1, min(self.dim, min(weights.shape) - 1))
        components = np.ones((1, 1))  # of a single term, which cannot be reduced
        if weights.shape[1] > 1:
            # A single text has no variance to explain; the ratio sklearn derives from it is not used here.
            with np.errstate(invalid="ignore", divide="ignore"):
                components = TruncatedSVD(width, random_state=0).fit(weights).components_
        self.fitted = {
            "encoder": "tfidf",
            "terms": [str(term) for term in vectorizer.get_feature_names_out()],
            "idf": vectorizer.idf_.astype(np.float64),
            "components": components.astype(np.float32),
        }
        return self.fitted

    def encode(self, texts: Iterable[str]) -> np.ndarray:
        """The vectors of the texts from the stored terms, weights and reduction."""
        from sklearn.preprocessing import normalize

        texts = list(texts)
        components = self.fitted["components"]
        if not self.fitted["terms"] or not texts:
            return np.zeros((len(texts), len(components)), np.float32)
        vectorizer = self._vectorizer(vocabulary=self.fitted["terms"])
        vectorizer.idf_ = self.fitted["idf"]
        return normalize(vectorizer.transform(texts) @ components.T.astype(np.float64)).astype(np.float32)

    @staticmethod
    def _vectorizer(**options: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        # Words of one letter count: they are all there is of some titles.
        return TfidfVectorizer(strip_accents="unicode", token_pattern=r"(?u)\b\w+\b", **options)


TEXT_ENCODERS: dict[str, type[TextEncoder]] = {"tfidf": TfidfEncoder}


def text_encoder(name: str = "tfidf", *, dim: int = 64) -> TextEncoder:
    """A text encoder by name, to be fitted.

    Args:
        name: One of `TEXT_ENCODERS`.
        dim: The largest width of a vector.

    Returns:
        A `TextEncoder`.
    """
    if name not in TEXT_ENCODERS:
        raise unknown_name("text encoder", name, TEXT_ENCODERS)
    return TEXT_ENCODERS[name](dim)


def encode_texts(fitted: Mapping[str, Any], texts: Iterable[str]) -> np.ndarray:
    """Encodes texts with what an encoder stored, e.g. those of items that came later.

    Args:
        fitted: An entry of `Dataset.encoders`.
        texts: The texts.

    Returns:
        Float32 `[texts, width]`.

    Example:

    >>> fitted = text_encoder("tfidf").fit(["a red kettle", "a blue kettle", "a teapot"])
    >>> encode_texts(fitted, ["kettle", ""]).shape
    (2, 2)
    """
    if fitted["encoder"] not in TEXT_ENCODERS:
        raise unknown_name("text encoder", fitted["encoder"], TEXT_ENCODERS)
    return TEXT_ENCODERS[fitted["encoder"]](fitted=fitted).encode(texts)
