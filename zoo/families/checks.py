"""What may be asked of a recommender."""

from __future__ import annotations

import numpy as np

from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN


def check_k(k: int, num_items: int) -> None:
    """Raises a `UserError` unless `k` items can be recommended."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise UserError(f"k must be an integer. Received: {k!r}.")
    if not 1 <= k <= num_items - FIRST_KNOWN:
        raise UserError(f"k must be between 1 and the {num_items - FIRST_KNOWN} items of the catalogue. Received: {k}.")
