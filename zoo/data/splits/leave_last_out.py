"""The last interaction of every user is held out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.data.splits import SPLITS, Divided, Split, said_of_ties, with_parts


class LeaveLastOut(Split):
    """Every user's last interaction is for testing, the one before it for validation.

    Users with two interactions have none for validation. The one of a user with a single interaction is for
    training. If two times are equal, the later row is the later interaction.
    """

    name = "leave-last-out"
    needs_order = True

    def divide(self, frame: pd.DataFrame) -> Divided:
        """See `Split.divide`."""
        users = frame.sort_values("timestamp", kind="stable")["user"]
        events = users.groupby(users)
        from_last = events.cumcount(ascending=False).reindex(frame.index)
        total = events.transform("size").reindex(frame.index)
        parts = np.full(len(frame), "train", object)
        parts[(from_last == 1) & (total >= 3)] = "valid"
        parts[(from_last == 0) & (total >= 2)] = "test"
        single = int((total == 1).sum())
        double = int((total == 2).sum()) // 2
        note = f"{single} users with one interaction have it in train, {double} with two have none in valid"
        return with_parts(frame, parts, f"leave-last-out by user; {note}{said_of_ties(frame)}")


SPLITS.register(LeaveLastOut())
