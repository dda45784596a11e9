"""The objects and commands that other installed packages add to the zoo, found by their entry points."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Protocol


class _Installed(Protocol):
    """The entry points of all installed packages. Their class depends on the version of Python."""

    def select(self, *, group: str) -> EntryPoints:
        """Those of one group."""


@functools.cache
def _installed() -> _Installed:
    # Looking through all installed packages takes a noticeable part of the start of a command, so it is done once.
    return entry_points()


def plugins(group: str) -> list[EntryPoint]:
    """The entry points of a group, sorted by name.

    Args:
        group: The name of the group, e.g. `"zoo.models"` or `"zoo.commands"`.

    Returns:
        The entry points. Nothing is imported.

    Example:

    >>> [point.value for point in plugins("zoo.commands") if point.name == "export"]
    ['export.commands']
    """
    return sorted(_installed().select(group=group), key=lambda point: point.name)
