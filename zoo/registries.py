"""Named objects, one a file: those of a package, of other installed packages, and of files that a user names."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from zoo.errors import UserError, unknown_name
from zoo.plugins import plugins

# Python files, and folders of them, that register objects of a user's own, separated as in PATH.
PLUGINS_VARIABLE = "ZOO_PLUGINS"


class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str:
        """The name it is found by."""


AnyNamed = TypeVar("AnyNamed", bound=Named)


class Registry(Mapping[str, AnyNamed], Generic[AnyNamed]):
    """Objects of one kind by name, in the order of their names.

    Nothing is imported before the first look. Then every module of the package is, each of which registers what is
    in it, then the modules of the entry point group, then the files that `ZOO_PLUGINS` names.

    Args:
        kind: What is registered, for error messages, e.g. `"protocol"`.
        package: The package whose modules each register an object, e.g. `"zoo.evaluation.protocols"`.
        group: The entry point group by which other installed packages add theirs, e.g. `"zoo.protocols"`.

    Example:

    >>> PROTOCOLS: Registry[Protocol] = Registry("protocol", "zoo.evaluation.protocols", "zoo.protocols")
    >>> PROTOCOLS["labels"].headline
    'auc'
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind, self._package, self._group = kind, package, group
        self._objects: dict[str, AnyNamed] = {}
        self._is_complete = False

    def register(self, made: AnyNamed) -> AnyNamed:
        """Adds an object under its name, and returns it.

        Raises:
            UserError: If another object has the name already.
        """
        other = self._objects.get(made.name)
        # A file that is run again, as by two spellings of its path, registers the same object once more.
        if other is not None and _home(other) != _home(made):
            raise UserError(f"Two {self.kind}s are called {made.name!r}: in {_home(other)} and in {_home(made)}.")
        self._objects[made.name] = made
        return made

    def __getitem__(self, name: str) -> AnyNamed:
        self._discover()
        if name not in self._objects:
            raise unknown_name(self.kind, str(name), self._objects)
        return self._objects[name]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._objects))

    def __len__(self) -> int:
        self._discover()
        return len(self._objects)

    def _discover(self) -> None:
        if self._is_complete:
            return
        # Set first, because a module may look up what others registered before it.
        self._is_complete = True
        try:
            package = importlib.import_module(self._package)
            for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
                importlib.import_module(f"{self._package}.{module.name}")
            for point in plugins(self._group):
                importlib.import_module(point.module)
            run_plugin_files()
        except BaseException:
            self._is_complete = False
            raise


def run_plugin_files() -> None:
    """Runs the files that `ZOO_PLUGINS` names, each once in a process.

    Raises:
        UserError: If a file does not exist.
    """
    for place in filter(None, os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep)):
        path = Path(place).resolve()
        if not path.exists():
            raise UserError(f"{PLUGINS_VARIABLE} names {place!r}, which does not exist.")
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            run_file(file, "zoo_plugins")


def run_file(file: Path, prefix: str) -> None:
    """Runs a Python file as a module named after its path, unless that was done before."""
    name = f"{prefix}_{file.stem}_{abs(hash(str(file)))}"
    if name in sys.modules:
        return
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _home(made: object) -> str:
    """The module that an object, or its class, is defined in."""
    return str(getattr(made, "__module__", type(made).__module__))
