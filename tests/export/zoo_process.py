"""The command `zoo` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest


def zoo_command(*arguments) -> list[str]:
    return [sys.executable, "-m", "zoo", *map(str, arguments)]


def run_zoo(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(zoo_command(*arguments), capture_output=True, encoding="utf-8", timeout=600, check=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wait_for(found, process: subprocess.Popen) -> None:
    """Waits until something is there that a process makes."""
    for _ in range(6000):
        if found():
            return
        assert process.poll() is None, "The process ended before it could be disturbed."
        time.sleep(0.05)
    pytest.fail("Waited for five minutes.")
