from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run_example(pytestconfig) -> Callable[..., str]:
    """Runs an example as a user would, by its path in the folder of examples. Gives what it printed."""

    def run(path: str, *arguments: object, cwd: Path) -> str:
        ran = subprocess.run(
            [sys.executable, str(pytestconfig.rootpath / "examples" / path), *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            timeout=900,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run
