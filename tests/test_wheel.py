"""A wheel holds every file that the packages read when they run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("zoo", "export")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """The paths of the files in a wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("recozoo-*.whl")
    return set(zipfile.ZipFile(made).namelist())


def paths_of(folder: str, pattern: str) -> set[str]:
    """The paths of files in a folder, from the root of the project."""
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}
    assert found, f"no {pattern} in {folder}"
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_every_module(wheel, package):
    assert paths_of(package, "*.py") <= wheel


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_says_that_the_packages_are_typed(wheel, package):
    assert f"{package}/py.typed" in wheel


@pytest.mark.parametrize("folder", ["export/bundle", "export/formats", "export/serving"])
def test_a_wheel_holds_the_templates(wheel, folder):
    assert paths_of(folder, "*.jinja") <= wheel


@pytest.mark.parametrize("folder", ["bench", "presets", "search"])
def test_a_wheel_holds_the_configs(wheel, folder):
    assert {f"zoo/{path}" for path in paths_of(f"configs/{folder}", "*.yaml")} <= wheel
    assert "zoo/configs/demo.yaml" in wheel


def test_a_wheel_holds_nothing_else(wheel):
    top = {path.partition("/")[0] for path in wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert not [path for path in wheel if path.endswith(".pyc")]
