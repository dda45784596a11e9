"""The answers of the client."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Recommendations:
    """The answer of `Client.recommend`.

    Args:
        items: `[batch, k]` raw item ids, best first. The padding value stands where no item is left.
        scores: `[batch, k]` float32.
        unknown: For every input of ids or categories a bool array of its shape, which is true where the model does
            not know the value.
    """

    items: np.ndarray
    scores: np.ndarray
    unknown: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scores:
    """The answer of `Client.score`.

    Args:
        scores: `[batch, n]` float32, where `n` is the length of the longest list of items. NaN stands behind the end
            of a shorter list.
        unknown: As in `Recommendations`.
    """

    scores: np.ndarray
    unknown: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Vectors:
    """The answer of `Client.embed_query` and `Client.embed_items`.

    Args:
        vectors: `[batch, dim]` float32.
        unknown: As in `Recommendations`.
    """

    vectors: np.ndarray
    unknown: dict[str, np.ndarray]
