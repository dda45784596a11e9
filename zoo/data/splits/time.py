"""The latest interactions are held out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.data.splits import SPLITS, Divided, Split, check_shares, with_parts
from zoo.errors import UserError


class Time(Split):
    """Two moments part the data of all users: training before, then validation, then testing.

    Args:
        valid: The share for validation.
        test: The share for testing.
        warm_up: How many first interactions of every user stand only in histories. They are neither trained on nor
            asked about, and the shares are of the others.
    """

    name = "time"
    needs_order = True

    def divide(self, frame: pd.DataFrame, valid: float = 0.1, test: float = 0.2, warm_up: int = 0) -> Divided:
        """See `Split.divide`."""
        check_shares(valid, test)
        if warm_up < 0:
            raise UserError(f"Expected warm_up as an integer of at least 0. Received: {warm_up!r}.")
        times = frame["timestamp"].to_numpy()
        users = frame.sort_values("timestamp", kind="stable")["user"]
        is_first = (users.groupby(users).cumcount().reindex(frame.index) < warm_up).to_numpy()
        counted = np.append(np.sort(times[~is_first]), np.inf)
        valid_from = counted[round((len(counted) - 1) * (1 - valid - test))]
        test_from = counted[round((len(counted) - 1) * (1 - test))]
        parts = np.full(len(frame), "train", object)
        parts[times >= valid_from] = "valid"
        parts[times >= test_from] = "test"
        parts[is_first] = "query"
        first = f"; the first {warm_up} of every user in histories only" if warm_up else ""
        return with_parts(
            frame, parts, f"by time (valid from {valid_from:.0f}, test from {test_from:.0f} seconds{first})"
        )


SPLITS.register(Time())
