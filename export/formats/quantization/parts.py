"""Tables that are consecutive rows of larger ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def find_parts(buffers: Sequence[np.ndarray], widths: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """For every table that is a part of a larger one: the buffer of the larger one, and the byte at which it begins.

    Args:
        buffers: The bytes of constants.
        widths: The numbers of a row of each constant that is a table.
    """
    parts: dict[int, tuple[int, int]] = {}
    wholes: list[int] = []
    for buffer in sorted(widths, key=lambda buffer: -len(buffers[buffer])):
        width = widths[buffer]
        alike = (whole for whole in wholes if widths[whole] == width)
        found = _first_whole(buffers, alike, buffer, width)
        if found is None:
            wholes.append(buffer)
        else:
            whole, row = found
            parts[buffer] = (whole, 4 * width * row)
    return parts


def _first_whole(buffers: Sequence[np.ndarray], wholes: Iterable[int], part: int, width: int) -> tuple[int, int] | None:
    """The first of some tables that has the rows of a part, and the row at which they begin."""
    for whole in wholes:
        row = first_row(buffers[whole], buffers[part], width)
        if row is not None:
            return whole, row
    return None


def first_row(whole: np.ndarray, part: np.ndarray, width: int) -> int | None:
    """The row of a table at which the rows of a part begin; `None` if it has no such rows.

    Args:
        whole: The bytes of the table.
        part: The bytes of the part.
        width: The numbers of a row.
    """
    rows, wanted = whole.view(np.uint32).reshape(-1, width), part.view(np.uint32).reshape(-1, width)
    last = len(wanted) - 1
    starts = len(rows) - last
    for at in np.flatnonzero((rows[:starts, 0] == wanted[0, 0]) & (rows[last : last + starts, -1] == wanted[-1, -1])):
        if np.array_equal(rows[at : at + len(wanted)], wanted):
            return int(at)
    return None
