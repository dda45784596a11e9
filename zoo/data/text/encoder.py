"""The base of text encoders, and the reduction that they share."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

from zoo.errors import UserError

if TYPE_CHECKING:
    import scipy.sparse

# The state of a fitted encoder, as arrays and JSON-ready values.
Fitted: TypeAlias = dict[str, object]


class TextEncoder(abc.ABC):
    """Turns texts into vectors of a fixed width, of length one or, where nothing is known, zero.

    Args:
        dim: The largest width of a vector; wider ones are reduced to it.
        model: The pretrained model, for encoders that have one.
        fitted: What an earlier `fit` returned, to encode without fitting.
    """

    name: ClassVar[str]

    def __init__(self, dim: int | None = None, *, model: str = "", fitted: Mapping[str, object] | None = None) -> None:
        if dim is not None and dim < 1:
            raise UserError(f"A text encoder needs dim of at least 1. Received: {dim}. Give more, or leave it out.")
        self.dim = dim
        self.model = model
        self.fitted: Fitted = dict(fitted or {})

    @abc.abstractmethod
    def fit(self, texts: Iterable[str]) -> Fitted:
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


def principal_components(vectors: np.ndarray | scipy.sparse.spmatrix, width: int) -> np.ndarray:
    """The directions that keep the most of the dot products of vectors (a truncated SVD).

    Args:
        vectors: `[vectors, features]`, dense or sparse, with at least two features.
        width: How many directions, fewer than features.

    Returns:
        Float32 `[width, features]`.
    """
    from sklearn.decomposition import TruncatedSVD

    # A single vector has no variance to explain; the ratio sklearn derives from it is not used here.
    with np.errstate(invalid="ignore", divide="ignore"):
        return TruncatedSVD(width, random_state=0).fit(vectors).components_.astype(np.float32)
