"""Weightings, one a file: how much it says that a user liked an item, before items are compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from scipy.sparse import csr_array

from zoo.registries import Registry


@dataclasses.dataclass(frozen=True)
class Weighting:
    """A weighting that item neighbours know by a name.

    Args:
        name: The name.
        weigh: `[num_users, num_items]` zeros and ones to weights in the same places.

    Example:

    ```python
    WEIGHTINGS.register(Weighting("halved", lambda liked: liked * 0.5))
    ```
    """

    name: str
    weigh: Callable[[csr_array], csr_array]


WEIGHTINGS: Registry[Weighting] = Registry("weighting", "zoo.solvers.weightings", "zoo.weightings")
