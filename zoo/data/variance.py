"""The share of a feature of interactions that their items settle."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import scipy.sparse

from zoo.data.features import Encoded
from zoo.schema import Feature

# A share of the variance above this is much: a model reads the item from the feature.
MUCH = 0.9
# A share is told only where `MUCH` is so many standard deviations of chance away, and so many values repeat an item.
_DEVIATIONS = 4
_FEWEST_REPEATS = 20

# Vectors of rows; sparse for categories.
Vectors: TypeAlias = "np.ndarray | scipy.sparse.csr_matrix"


def share_told(encoded: Encoded, items: np.ndarray) -> float:
    """How far a feature tells the item of an interaction: at most 1, and 0 where too few values repeat to tell.

    This is the share of the feature's variance that lies between items (see `share_between`). If the feature is a
    category, it is also the share of the items' variance that lies between categories, because an item may have
    several of its own.

    Args:
        encoded: The feature.
        items: `[rows]` the item of every value, as an index.

    Example:

    >>> from zoo.schema import Feature
    >>> variants = np.arange(200) % 40
    >>> share_told(Encoded(Feature("app", "context", "categorical", 40), variants), variants // 2)
    1.0
    """
    told = share_between(encoded, items)
    if encoded.feature.kind != "categorical" or encoded.feature.length is not None:
        return told
    item = Encoded(Feature("item", "item", "id", int(items.max()) + 1), items)
    return max(told, share_between(item, encoded.values))


def share_between(encoded: Encoded, items: np.ndarray) -> float:
    """The share of a feature's variance that lies between items, corrected for the number of items.

    This is epsilon squared. The variance of numbers is the usual one, without the outermost hundredth on either side,
    which a single wrong value would fill. Categories count as one-hot values, whose share is the tau of Goodman and
    Kruskal; lists of categories as several-hot values; texts as their vectors.

    Args:
        encoded: The feature.
        items: `[rows]` the item of every value, as an index.

    Returns:
        At most 1. It is 0 where too few values repeat an item to tell: fewer than 20, or so few that a feature that
        has nothing to do with the items could well have such a share by chance.

    Example:

    >>> from zoo.schema import Feature
    >>> items = np.arange(200) % 20
    >>> share_between(Encoded(Feature("lat", "context", "numeric"), items / 20), items)
    1.0
    """
    values = _as_vectors(encoded)
    number, groups = len(items), np.unique(items, return_inverse=True)[1]
    sizes = np.bincount(groups)
    repeats = number - len(sizes)
    if repeats < _FEWEST_REPEATS:
        return 0.0
    total, deviation = _total_and_chance(values, sizes)
    if not total or _DEVIATIONS * deviation > MUCH:
        return 0.0
    sums = scipy.sparse.csr_matrix((np.ones(number), (groups, np.arange(number)))) @ values
    within = _squares(values).sum() - (_squares(sums) / sizes).sum()
    return float(1.0 - max(0.0, within / repeats) / (total * number / (number - 1)))


def _total_and_chance(values: Vectors, sizes: np.ndarray) -> tuple[float, float]:
    """The variance of vectors, and the standard deviation of the share that lies between groups by chance.

    The variance within groups is a quadratic form of independent values; its own variance is known from their second
    and fourth moments.
    """
    mean = np.asarray(values.mean(axis=0), np.float64).ravel()
    others = values[np.random.default_rng(0).permutation(values.shape[0])]
    # The squared lengths of x - mean and of y - mean, and their product.
    squares = _squares(values) - 2 * np.asarray(values @ mean).ravel() + mean @ mean
    products = _products(values, others) - np.asarray((values + others) @ mean).ravel() + mean @ mean
    total = float(squares.mean())
    if total < 1e-12:
        return 0.0, 0.0
    fourth, across = np.square(squares / total).mean() - 1, np.square(products / total).mean()
    repeats, shares = sizes.sum() - len(sizes), (1 / sizes).sum()
    variance = fourth * (repeats - len(sizes) + shares) + 2 * across * (len(sizes) - shares)
    return total, float(np.sqrt(max(0.0, variance)) / repeats)


def _products(values: Vectors, others: Vectors) -> np.ndarray:
    """The product of every row with the same row of others."""
    product = values * others if isinstance(values, np.ndarray) else values.multiply(others)
    return np.asarray(product.sum(axis=1), np.float64).ravel()


def _squares(values: Vectors) -> np.ndarray:
    """The squared length of every row."""
    return _products(values, values)


def _as_vectors(encoded: Encoded) -> Vectors:
    """One vector a row, sparse for categories."""
    feature, values = encoded.feature, encoded.values
    if feature.kind == "numeric":
        return np.clip(values, *np.quantile(values, [0.01, 0.99]))[:, None].astype(np.float64)
    if not feature.is_indexed:
        return values.astype(np.float64)
    values = values.reshape(len(values), -1)
    row, place = np.nonzero(values)
    return scipy.sparse.csr_matrix((np.ones(len(row)), (row, values[row, place])), (len(values), feature.size))
