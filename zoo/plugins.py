"""What other installed packages add to the zoo, by entry points."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@functools.cache
def _installed() -> Any:
    # Looking through all installed packages takes a noticeable part of the start of a command, so it is done once.
    return entry_points()


def plugins(group: str) -> list[EntryPoint]:
    """The entry points of a group, sorted by name: `"zoo.models"` or `"zoo.commands"`."""
    return sorted(_installed().select(group=group), key=lambda point: point.name)
