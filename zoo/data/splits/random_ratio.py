"""Interactions are held out at random."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.data.splits import SPLITS, Divided, Split, check_shares, with_parts


class RandomRatio(Split):
    """Interactions are dealt at random, whoever they are of.

    Args:
        valid: The share for validation.
        test: The share for testing.
        seed: Seed of the draw.
    """

    name = "random"

    def is_default(self, has_parts: bool) -> bool:
        """Whether the interactions do not say their parts themselves."""
        return not has_parts

    def divide(self, frame: pd.DataFrame, valid: float = 0.1, test: float = 0.2, seed: int = 0) -> Divided:
        """See `Split.divide`."""
        check_shares(valid, test)
        order = np.random.default_rng(seed).permutation(len(frame))
        num_test, num_valid = round(len(frame) * test), round(len(frame) * valid)
        parts = np.full(len(frame), "train", object)
        parts[order[:num_test]] = "test"
        parts[order[num_test : num_test + num_valid]] = "valid"
        return with_parts(frame, parts, f"random over interactions (valid={valid}, test={test}, seed={seed})")


SPLITS.register(RandomRatio())
