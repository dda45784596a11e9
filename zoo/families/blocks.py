"""Queries in blocks, so that many at once need no more memory than some do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Numbers that a block makes at most, if it has more than one query.
NUMBERS_AT_ONCE = 2**24


def blocks(numbers: np.ndarray) -> Iterator[slice]:
    """Blocks of neighbouring queries, in order.

    Args:
        numbers: `[queries]`, how many numbers are made of each.

    Returns:
        The places of each block. A block makes at most `NUMBERS_AT_ONCE` numbers, or has one query. No queries are
        one block.

    Example:

    >>> list(blocks(np.full(3, NUMBERS_AT_ONCE // 2)))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    start, total = 0, 0
    for place, number in enumerate(numbers.tolist()):
        if place > start and total + number > NUMBERS_AT_ONCE:
            yield slice(start, place)
            start, total = place, 0
        total += number
    yield slice(start, len(numbers))
