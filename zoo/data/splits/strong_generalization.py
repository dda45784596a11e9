"""Whole users are held out, and a random share of what each of them did is to be found (Liang et al., 2018)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.data.splits import SPLITS, Divided, Split, check_shares, with_parts
from zoo.data.splits.users import check_holdout, hold_out_users, number_to_find


class StrongGeneralization(Split):
    """A model sees held-out users only by their histories, with a random share of their items taken out.

    Only users with two or more items are held out, because one item leaves nothing to query with. Interactions of a
    user with the same item stay together. `users` is the same by time: there the latest interactions are to be found.

    Args:
        valid: The share of the users for validation.
        test: The share of the users for testing.
        seed: Seed of the draws.
        holdout: The share of a held-out user's items that is to be found, at least one of them.
    """

    name = "strong-generalization"

    def divide(
        self, frame: pd.DataFrame, valid: float = 0.1, test: float = 0.1, seed: int = 0, holdout: float = 0.2
    ) -> Divided:
        """See `Split.divide`."""
        check_shares(valid, test)
        check_holdout(holdout)
        rng = np.random.default_rng(seed)
        users, items = (pd.factorize(frame[role])[0] for role in ("user", "item"))
        pairs, pair_of_row = np.unique(users * (items.max(initial=0) + 1) + items, return_inverse=True)
        user_of_pair = pairs // (items.max(initial=0) + 1)
        counts = np.bincount(user_of_pair)
        part_of_user = hold_out_users(counts, valid, test, rng)
        # The place of each pair among those of its user, in a random order. Pairs are sorted by user.
        order = np.lexsort((rng.permutation(len(pairs)), user_of_pair))
        place = np.empty(len(pairs), np.int64)
        place[order] = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
        parts = part_of_user[user_of_pair]
        parts[(parts != "train") & (place >= number_to_find(counts, holdout)[user_of_pair])] = "query"
        held = {part: int((part_of_user == part).sum()) for part in ("valid", "test")}
        note = (
            f"by user ({held['valid']} users held out for valid, {held['test']} for test; "
            f"random {holdout:.0%} of their items to be found, seed={seed})"
        )
        return with_parts(frame, parts[pair_of_row], note)


SPLITS.register(StrongGeneralization())
