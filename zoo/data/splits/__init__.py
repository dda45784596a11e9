"""Splits, one a file: which interactions are for training, which to choose by and which to report on."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import numpy as np
import pandas as pd

from zoo.data.dataset import PARTS
from zoo.errors import UserError
from zoo.options import Option, check_options, options_of
from zoo.registries import Registry

# Interactions with their `part`, and a note of what was done.
Divided: TypeAlias = "tuple[pd.DataFrame, str]"


class Split(abc.ABC):
    """A rule that gives every interaction its part.

    The keyword arguments of `divide` are the options of the split, with their types.

    Example:

    ```python
    class EveryTenth(Split):
        \"\"\"Every tenth interaction is for testing.\"\"\"

        name = "every-tenth"

        def divide(self, frame, first: int = 0):
            parts = np.where(np.arange(len(frame)) % 10 == first, "test", "train")
            return with_parts(frame, parts, f"every tenth from {first} on")

    SPLITS.register(EveryTenth())
    ```
    """

    name: ClassVar[str]
    # Whether the interactions need a time.
    needs_order: ClassVar[bool] = False
    # Whether the parts are those that the data gives.
    keeps_parts: ClassVar[bool] = False

    @abc.abstractmethod
    def divide(self, frame: pd.DataFrame) -> Divided:
        """Gives interactions their parts.

        Args:
            frame: Interactions with `user` and `item`, and with `timestamp` where they have a time.

        Returns:
            The frame with a `part` column, and a note; see `with_parts`.

        Raises:
            UserError: If an option is out of range, or nothing is left to train on.
        """

    def is_default(self, has_parts: bool) -> bool:
        """Whether this is what is done if nothing is asked for, of data that says its parts or does not."""
        return False

    @property
    def options(self) -> dict[str, Option]:
        """What `divide` takes by name."""
        return options_of(self.divide, without=["frame"])


SPLITS: Registry[Split] = Registry("split", "zoo.data.splits", "zoo.splits")


def split(frame: pd.DataFrame, name: str, **options: object) -> Divided:
    """Splits interactions by a named rule.

    Args:
        frame: Interactions.
        name: One of `SPLITS`.
        **options: What that split takes.

    Returns:
        The frame with a `part` column, and a note of what was done.

    Raises:
        UserError: If the name or an option is unknown, or nothing is left for training.

    Example:

    >>> frame = pd.DataFrame({"user": range(10), "item": range(10)})
    >>> split(frame, "random", valid=0.1, test=0.2)[1]
    'Split: random over interactions (valid=0.1, test=0.2, seed=0): 7 train, 1 valid, 2 test.'
    """
    chosen = SPLITS[name]
    check_options(options, chosen.options, of=f"split {name!r}")
    if chosen.needs_order and "timestamp" not in frame.columns:
        others = [repr(other.name) for other in SPLITS.values() if not other.needs_order]
        raise UserError(
            f"The split {name!r} needs a timestamp column, which the interactions lack. "
            f"Without one use {', '.join(others[:-1])} or {others[-1]}."
        )
    return chosen.divide(frame, **options)


def split_options(name: str) -> list[str]:
    """The options of a named split."""
    return list(SPLITS[name].options)


def split_and_options(asked: object, has_parts: bool) -> tuple[Split, dict[str, object]]:
    """The split that is asked for, and its options.

    Args:
        asked: A name, or a mapping of `name` and options; `None` for what is done by default.
        has_parts: Whether the data says its parts.

    Raises:
        UserError: If it is neither, or there is no such split.
    """
    if asked is None:
        return next(one for one in SPLITS.values() if one.is_default(has_parts)), {}
    name, options = name_and_options(asked)
    if not isinstance(name, str):
        raise UserError(f"Expected split as a name, or as a mapping with a 'name'. Received: {asked!r}.")
    return SPLITS[name], options


def name_and_options(asked: object) -> tuple[object, dict[str, object]]:
    """The name and the options of a split that is asked for, neither of them checked.

    Args:
        asked: A name, or a mapping of `name` and options.

    Returns:
        The name, `None` if a mapping has none, and the options.

    Example:

    >>> name_and_options({"name": "random", "test": 0.3})
    ('random', {'test': 0.3})
    """
    options: dict[str, object] = dict(asked) if isinstance(asked, Mapping) else {"name": asked}
    return options.pop("name", None), options


def with_parts(frame: pd.DataFrame, parts: np.ndarray, rule: str) -> Divided:
    """Interactions with their parts, and a note with the rule and how many each part has.

    Raises:
        UserError: If nothing is left to train on.
    """
    found = {part: int((parts == part).sum()) for part in PARTS}
    counts = ", ".join(f"{count} {part}" for part, count in found.items() if count or part != "query")
    if not found["train"]:
        raise UserError(f"The split leaves nothing to train on: {rule}: {counts}. Leave some for train.")
    return frame.assign(part=pd.Series(parts, frame.index).astype(str)), f"Split: {rule}: {counts}."


def said_of_ties(frame: pd.DataFrame) -> str:
    """How many users have tied last events, whose order is that of the file; empty if nobody has.

    Args:
        frame: Interactions with `user` and `timestamp`, in their order.

    Example:

    >>> said_of_ties(pd.DataFrame({"user": [2, 2, 3, 3], "timestamp": [5.0, 5.0, 5.0, 6.0]}))
    "; 1 of 2 users (50%) have last events at the same time, of which the file's later row counts as the later"
    """
    ordered = frame.sort_values(["user", "timestamp"], kind="stable")
    users, times = ordered["user"].to_numpy(), ordered["timestamp"].to_numpy()
    is_last = np.append(users[1:] != users[:-1], True)
    tied = int((is_last[1:] & (users[1:] == users[:-1]) & (times[1:] == times[:-1])).sum())
    if not tied:
        return ""
    which = f"; {tied} of {is_last.sum()} users ({tied / is_last.sum():.0%}) have last events at the same time"
    return f"{which}, of which the file's later row counts as the later"


def check_shares(valid: float, test: float) -> None:
    """Raises a `UserError` unless these shares leave some for training."""
    if valid < 0 or test < 0 or valid + test >= 1:
        raise UserError(
            "Expected valid and test of at least 0 that leave a share for train. "
            f"Received: valid={valid!r}, test={test!r}."
        )
