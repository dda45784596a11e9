"""UPGRADING says where modules went: every new name is there, and every old one is gone."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parent.parent / "UPGRADING.md").read_text(encoding="utf-8")
ROWS = [
    [re.findall(r"`((?:zoo|export)\.[\w.]+)`", cell) for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| `(zoo|export)\.", line)
]
OLD = [name for old, _ in ROWS for name in old]
NEW = [name for _, new in ROWS for name in new]


def found(name: str) -> object | None:
    """The module or the object in a module that has a name, if there is any."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
    module, _, attribute = name.rpartition(".")
    return getattr(found(module), attribute, None) if "." in module else None


@pytest.mark.parametrize("name", NEW)
def test_a_new_name_can_be_imported(name):
    assert found(name) is not None


@pytest.mark.parametrize("name", OLD)
def test_an_old_name_is_gone_or_stands_for_something_else(name):
    there = found(name)
    # `zoo.training.train` was a function and is the module that has it.
    assert there is None or (inspect.ismodule(there) and any(new.startswith(f"{name}.") for new in NEW))


def test_the_tables_are_read():
    assert len(ROWS) > 20
    assert all(old and new for old, new in ROWS)
