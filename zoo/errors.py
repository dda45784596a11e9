"""The errors that a user may see, and the answer to a typo: the near names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Something failed although the request was sound. The command line exits with 1."""


class UserError(ZooError, ValueError):
    """The request itself was wrong. The message says what, where and how to mend it. The command line exits with 2."""


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
