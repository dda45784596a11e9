"""Queries in blocks, so that many at once need no more memory than some do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from zoo.families.contracts import Work

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


def numbers_made(scores: int, query: Mapping[str, tf.Tensor], work: Work | None) -> np.ndarray:
    """How many numbers are made of each query, `[queries]`.

    Args:
        scores: The scores of a query.
        query: One tensor an input, `[queries, ...]`.
        work: The other numbers that are made of each, given the histories.
    """
    others = 0 if work is None else work(query["history"].numpy())
    return np.full(len(next(iter(query.values()))), scores) + others


def in_blocks(
    function: Callable[..., Sequence[tf.Tensor]],
    query: Mapping[str, tf.Tensor],
    lists: Sequence[tf.Tensor],
    numbers: np.ndarray,
) -> list[np.ndarray]:
    """What a function makes of all queries, block by block.

    Args:
        function: Gives tensors of one row a query, from what follows.
        query: One tensor an input, `[queries, ...]`.
        lists: Lists of items of each query, `[queries, n]`.
        numbers: `[queries]`, how many numbers are made of each.

    Returns:
        The tensors of all queries as arrays.
    """
    found = []
    for block in blocks(numbers):
        of_block = {name: values[block] for name, values in query.items()}
        found.append(function(of_block, *(one[block] for one in lists)))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]
