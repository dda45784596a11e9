"""The errors a user can meet, and how a typo is answered with the near names."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any


class ZooError(Exception):
    """Something failed although the request was sound. The command line exits with 1."""


class UserError(ZooError, ValueError):
    """The request itself was wrong; the message says what, where and how to mend it. Exit code 2."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the near names or else all of them.

    Args:
        what: What kind of thing was named, e.g. `"architecture"`.
        name: The name that was given.
        known: The names that exist.

    Returns:
        A `UserError` to raise.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else f"Valid: {', '.join(known) or 'none'}."
    return UserError(f"Unknown {what} {name!r}. {hint}")


def check_like(what: str, value: Any, default: Any) -> None:
    """Raises a `UserError` unless a value is of the kind of the default it replaces.

    Args:
        what: What was given, e.g. `"hparam 'dropout'"`.
        value: What it was given as.
        default: Its default. Where that is `None`, any value will do.
    """
    kinds: tuple[tuple[type, type, str], ...] = (
        (bool, bool, "true or false"),
        (int, numbers.Integral, "an integer"),
        (float, numbers.Real, "a number"),
        (str, str, "a text"),
        (Sequence, Sequence, "a list"),
    )
    for kind, wanted, words in kinds:
        if isinstance(default, kind):
            is_other_kind = isinstance(value, bool) != isinstance(default, bool)
            is_other_kind |= isinstance(value, str) != isinstance(default, str)
            if is_other_kind or not isinstance(value, wanted):
                raise UserError(f"{what}: expected {words}, such as {default!r}. Received: {value!r}.")
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{what}: expected a finite number. Received: {value!r}.")
            return
