"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil
from types import ModuleType

import pytest

import export
import zoo
from zoo.registries import Registry

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_names() -> list[str]:
    """Every module of the two packages except the one that runs the command when it is imported."""
    packages = [(package.__path__, package.__name__) for package in (zoo, export)]
    found = [module.name for path, name in packages for module in pkgutil.walk_packages(path, f"{name}.")]
    return ["zoo", "export", *(name for name in found if name != "zoo.__main__")]


@pytest.fixture
def registered():
    """Gives the registries of a module back what they held before its examples."""
    kept = []

    def keep(module: ModuleType) -> None:
        for registry in [value for value in list(vars(module).values()) if isinstance(value, Registry)]:
            len(registry)
            kept.append((registry._objects, dict(registry._objects)))

    yield keep
    for objects, before in kept:
        objects.clear()
        objects.update(before)


@pytest.mark.parametrize("name", module_names())
def test_the_examples_of_a_module_run(name, registered, monkeypatch, tmp_path):
    # What an example writes goes into an empty folder.
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    registered(module)
    for example in doctest.DocTestFinder().find(module, name):
        said = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        assert runner.run(example, out=said.write).failed == 0, said.getvalue()
