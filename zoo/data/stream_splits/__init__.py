"""Splits of interactions larger than memory, one a file: some users are kept in memory to evaluate by."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np

from zoo.data.dataset import PARTS
from zoo.data.splits import name_and_options
from zoo.errors import UserError
from zoo.options import check_options, options_of
from zoo.registries import Registry
from zoo.schema import Vocabulary

TRAIN, VALID, TEST = (PARTS.index(part) for part in ("train", "valid", "test"))


class StreamSplit(abc.ABC):
    """A rule by which users of a stream are kept, and some of their interactions held out.

    The class is registered, and the arguments of its `__init__` are the options of the split.
    """

    name: ClassVar[str]
    # Whether the parts are those that the data gives.
    keeps_parts: ClassVar[bool] = False

    @abc.abstractmethod
    def users(self, vocabulary: Vocabulary, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """Which users are kept.

        Args:
            vocabulary: All users.
            blocks: All interactions, block by block: arrays with `user` and `part`.

        Returns:
            `[num_user_rows]` bool.
        """

    @abc.abstractmethod
    def mark(self, rows: np.ndarray, is_kept: np.ndarray) -> None:
        """Sets the `part` of interactions: of the first ones, then of those that follow them, and so on."""

    @abc.abstractmethod
    def about(self, is_kept: np.ndarray) -> str:
        """The rule in words, for a note."""

    @classmethod
    def is_default(cls, has_parts: bool) -> bool:
        """Whether this is what is done if nothing is asked for, of data that says its parts or does not."""
        return False


SPLITS: Registry[type[StreamSplit]] = Registry("split of a stream", "zoo.data.stream_splits", "zoo.stream_splits")


def make_split(asked: str | Mapping[str, object] | None, is_given: bool, seed: int) -> StreamSplit:
    """The split of a stream.

    Args:
        asked: A name of `SPLITS`, or a mapping of `name` and the split's options. By default what suits
            the data.
        is_given: Whether the interactions have a column `split`.
        seed: The seed, if the options have none.

    Returns:
        The split.

    Raises:
        UserError: If a stream cannot be split like that, or an option is unknown or out of range.
    """
    name, options = _name_and_options(asked, is_given)
    chosen = SPLITS[name]
    if chosen.keeps_parts and not is_given:
        raise UserError(f"The split {name!r} needs a column 'split' in the interactions. Add it, or choose another.")
    known = options_of(chosen)
    check_options(options, known, of=f"split {name!r} of a stream")
    return chosen(**({"seed": seed, **options} if "seed" in known else options))


def _name_and_options(asked: str | Mapping[str, object] | None, is_given: bool) -> tuple[str, dict[str, object]]:
    if asked is None:
        return next(name for name, one in SPLITS.items() if one.is_default(is_given)), {}
    name, options = name_and_options(asked)
    if not isinstance(name, str) or name not in SPLITS:
        raise UserError(f"A stream is split by {' or '.join(map(repr, SPLITS))}. Received: split={name!r}.")
    return name, options
