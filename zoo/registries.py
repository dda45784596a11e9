"""Objects found by name. They come from a package, from other installed packages, and from files that a user names."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar, overload

from zoo.errors import UserError, unknown_name
from zoo.plugins import plugins

# Names Python files, and folders of them, that register objects of a user's own. They are separated as in PATH.
PLUGINS_VARIABLE = "ZOO_PLUGINS"


class Named(Protocol):
    """An object that a registry may hold."""

    @property
    def name(self) -> str:
        """The name it is found by."""


AnyNamed = TypeVar("AnyNamed", bound=Named)
# What stands for an object that there is not.
Other = TypeVar("Other")


class Registry(Mapping[str, AnyNamed], Generic[AnyNamed]):
    """Objects of one kind by name, in the order of their names.

    Nothing is imported before the first look. That look imports every module of the package, then the modules of the
    entry point group, then runs the files that `ZOO_PLUGINS` names. Each of them registers what is in it.

    Args:
        kind: What is registered, for error messages, e.g. `"protocol"`.
        package: The package whose modules each register an object, e.g. `"zoo.evaluation.protocols"`.
        group: The entry point group by which other installed packages add theirs, e.g. `"zoo.protocols"`.

    Raises:
        UserError: At the first look, if a file of `ZOO_PLUGINS` does not exist or fails, or two objects have one name.

    Example:

    ```python
    # zoo/evaluation/protocols/__init__.py
    PROTOCOLS: Registry[Protocol] = Registry("protocol", "zoo.evaluation.protocols", "zoo.protocols")

    # zoo/evaluation/protocols/labels.py, or a file that ZOO_PLUGINS names
    PROTOCOLS.register(Labels())

    # Anywhere
    PROTOCOLS["labels"].headline
    ```
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind, self._package, self._group = kind, package, group
        self._objects: dict[str, AnyNamed] = {}
        self._homes: dict[str, str] = {}
        self._is_complete = False

    def register(self, made: AnyNamed) -> AnyNamed:
        """Adds an object under its name.

        Args:
            made: The object. A file that is run again may replace its own.

        Returns:
            The object, so that this can be a decorator of a class.

        Raises:
            UserError: If an object of another file has the name already.
        """
        home = _file_being_run()
        other = self._homes.setdefault(made.name, home)
        if other != home:
            raise UserError(f"Two {self.kind}s are called {made.name!r}: in {other} and in {home}. Rename one of them.")
        self._objects[made.name] = made
        return made

    def file_of(self, name: str) -> str:
        """The file that registers the object of a name."""
        return self._homes[self[name].name]

    def __getitem__(self, name: str) -> AnyNamed:
        self._discover()
        if name not in self._objects:
            raise unknown_name(self.kind, str(name), self._objects)
        return self._objects[name]

    @overload
    def get(self, name: str, /) -> AnyNamed | None: ...

    @overload
    def get(self, name: str, /, default: Other) -> AnyNamed | Other: ...

    def get(self, name: str, /, default: object = None) -> object:
        """The object of a name, or the default if there is none. Brackets raise a `UserError` instead."""
        self._discover()
        return self._objects.get(name, default)

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
        UserError: If a file does not exist, is not Python, or fails.
    """
    for place in filter(None, os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep)):
        path = Path(place).resolve()
        if not path.exists():
            raise UserError(f"{PLUGINS_VARIABLE} names {place!r}, which does not exist. Correct the path.")
        for file in python_files(path):
            run_file(file, "zoo_plugins")


def python_files(path: Path) -> list[Path]:
    """The Python files of a folder, sorted by name, or the file itself."""
    return sorted(path.glob("*.py")) if path.is_dir() else [path]


def run_file(file: Path, prefix: str) -> None:
    """Runs a Python file as a module named after its path, unless that was done before.

    Args:
        file: The file.
        prefix: The beginning of the name of the module.

    Raises:
        UserError: If the file is not Python or fails. The message has the file, the line and what Python says.
    """
    name = f"{prefix}_{file.stem}_{abs(hash(str(file)))}"
    if name in sys.modules:
        return
    try:
        run_as_module(file, name)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        raise _failure(file, error) from error


def run_as_module(file: Path, name: str) -> None:
    """Runs a Python file as a module, whether or not that was done before. What the file raises is let through.

    Args:
        file: The file.
        name: The name of the module.

    Raises:
        UserError: If the file is not Python.
    """
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise UserError(f"{file} is not a Python file. Give a file whose name ends with .py, or a folder of them.")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)


def _failure(file: Path, error: Exception) -> UserError:
    """The error for a file that fails: where it does, and what Python says."""
    line: int | None = None
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line, said = error.lineno, f"{type(error).__name__}: {error.msg}"
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line, said = lines[-1] if lines else None, "".join(traceback.format_exception_only(error)).strip()
    where = f"{file}, line {line}" if line else str(file)
    return UserError(f"{where}: {said}. Correct the file, then try again.")


def _file_being_run() -> str:
    """The file whose top level leads to this call; the name of its module where there is no file, as in a notebook."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    file = frame.f_globals.get("__file__")
    return str(Path(file).resolve()) if file else str(frame.f_globals["__name__"])
