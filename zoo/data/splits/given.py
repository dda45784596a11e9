"""The data says which interactions are held out."""

from __future__ import annotations

import pandas as pd

from zoo.data.dataset import PARTS
from zoo.data.splits import SPLITS, Divided, Split, with_parts
from zoo.errors import UserError, unknown_name


class Given(Split):
    """The split is in the data.

    Args:
        column: The column that says `train`, `valid`, `test` or `query`, in any case.
    """

    name = "given"
    keeps_parts = True

    def is_default(self, has_parts: bool) -> bool:
        """Whether the interactions say their parts."""
        return has_parts

    def divide(self, frame: pd.DataFrame, column: str = "split") -> Divided:
        """See `Split.divide`."""
        if column not in frame.columns:
            raise UserError(f"The split 'given' needs a column {column!r} in the interactions. Add it.")
        parts = frame[column].astype(str).str.lower()
        wrong = parts[~parts.isin(PARTS)]
        if len(wrong):
            raise unknown_name(f"part in column {column!r}", wrong.iloc[0], PARTS)
        return with_parts(frame.drop(columns=column), parts.to_numpy(object), f"as given by column {column!r}")


SPLITS.register(Given())
