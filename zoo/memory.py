"""Checks that something fits before it is made, because a process that runs out of memory ends without a word."""

from __future__ import annotations

from pathlib import Path

import psutil

from zoo.errors import UserError

# Where Linux control groups, of both versions, keep the memory limit of a container.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available_memory() -> int:
    """Bytes that this process can still allocate: what the machine has free, or its container allows."""
    available = psutil.virtual_memory().available
    used = psutil.Process().memory_info().rss
    for path in LIMITS:
        try:
            limit = int(Path(path).read_text())
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue
        available = min(available, max(limit - used, 0))
    return available


def check_memory(what: str, needed: int, mend: str) -> None:
    """Refuses what cannot fit.

    Args:
        what: What is about to be made, for the message.
        needed: The bytes it takes.
        mend: What to do about it, a sentence.

    Raises:
        UserError: If less memory is available than needed. The message has both numbers.
    """
    available = available_memory()
    if needed > available:
        raise UserError(f"{what} needs {readable(needed)} of memory, and {readable(available)} are available. {mend}")


def readable(size: float) -> str:
    """A number of bytes for people, e.g. `"7.7 GB"`."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
