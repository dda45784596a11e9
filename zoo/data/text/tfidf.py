"""Text vectors from the words of the catalogue only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.text import TEXT_ENCODERS
from zoo.data.text.encoder import Fitted, TextEncoder, principal_components
from zoo.errors import UserError

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer


@TEXT_ENCODERS.register
class TfidfEncoder(TextEncoder):
    """TF-IDF over words, reduced by a singular value decomposition, of length one.

    Args:
        dim: The largest width of a vector, 64 by default.
        model: Not taken.
        fitted: What an earlier `fit` returned, to encode without fitting.
    """

    name = "tfidf"
    DIM = 64
    MAX_TERMS = 20_000

    def __init__(self, dim: int | None = None, *, model: str = "", fitted: Mapping[str, object] | None = None) -> None:
        super().__init__(self.DIM if dim is None else dim, model=model, fitted=fitted)
        if model:
            raise UserError(f"The text encoder 'tfidf' takes no model. Received: 'tfidf:{model}'. Write 'tfidf'.")

    def fit(self, texts: Iterable[str]) -> Fitted:
        """Learns terms, their weights and the reduction."""
        texts = list(texts)
        vectorizer = self._vectorizer(max_features=self.MAX_TERMS)
        try:
            weights = vectorizer.fit_transform(texts)
        except ValueError:  # not a single word in all the texts
            nothing = np.zeros((1, 0), np.float32)
            self.fitted = {"encoder": self.name, "terms": [], "idf": np.zeros(0), "components": nothing}
            return self.fitted
        components = np.ones((1, 1), np.float32)  # of a single term, which cannot be reduced
        if weights.shape[1] > 1:
            components = principal_components(weights, max(1, min(self.dim or self.DIM, min(weights.shape) - 1)))
        self.fitted = {
            "encoder": self.name,
            "terms": [str(term) for term in vectorizer.get_feature_names_out()],
            "idf": vectorizer.idf_.astype(np.float64),
            "components": components,
        }
        return self.fitted

    def encode(self, texts: Iterable[str]) -> np.ndarray:
        """The vectors of the texts from the stored terms, weights and reduction."""
        from sklearn.preprocessing import normalize

        texts = list(texts)
        components, terms = np.asarray(self.fitted["components"]), self.fitted["terms"]
        if not terms or not texts:
            return np.zeros((len(texts), len(components)), np.float32)
        vectorizer = self._vectorizer(vocabulary=terms)
        vectorizer.idf_ = self.fitted["idf"]
        return normalize(vectorizer.transform(texts) @ components.T.astype(np.float64)).astype(np.float32)

    @staticmethod
    def _vectorizer(**options: object) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer

        # Words of one letter count: they are all there is of some titles.
        return TfidfVectorizer(strip_accents="unicode", token_pattern=r"(?u)\b\w+\b", **options)
