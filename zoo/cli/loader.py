"""Subcommands by name: one module each, of the zoo's own or another package, or a function in a user's own file.

A package adds subcommands by the entry point group `zoo.commands`, which names a package. Each module of it is a
subcommand and has a function of its own name, with `_` at the end where Python has the name already, as `list` has. A
file that `ZOO_PLUGINS` names adds a function by the decorator `command`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from typing import TypeVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from zoo.errors import UserError, unknown_name
from zoo.plugins import plugins
from zoo.registries import run_plugin_files

PACKAGE = "zoo.cli.commands"
GROUP = "zoo.commands"

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., None])
_functions: dict[str, Callable[..., None]] = {}


def command(function: AnyFunction) -> AnyFunction:
    """Adds a function as a subcommand of `zoo`: its name is the subcommand's, its docstring the help.

    Args:
        function: What the subcommand does. Its parameters become arguments and options, as in Typer.

    Returns:
        The function as it is.

    Raises:
        UserError: If another file has added a subcommand of that name.

    Example:

    ```python
    # hello.py: ZOO_PLUGINS=hello.py zoo hello Anna
    from zoo.cli import command

    @command
    def hello(name: str) -> None:
        \"\"\"Greet somebody.\"\"\"
        print(f"Hello {name}")
    ```
    """
    name = _command_name(function.__name__)
    other = _functions.get(name)
    if other is not None and other.__module__ != function.__module__:
        raise UserError(f"Two commands are called {name!r}: in {other.__module__} and in {function.__module__}.")
    _functions[name] = function
    return function


class Commands(TyperGroup):
    """The group of all subcommands. It imports the module of the one that was asked for, and all to list them."""

    def list_commands(self, ctx: object) -> list[str]:
        """The names of all subcommands, sorted."""
        modules = _modules()
        run_plugin_files()
        for name in _functions.keys() & modules.keys():
            raise UserError(f"Two commands are called {name!r}: in {modules[name]} and a file of ZOO_PLUGINS.")
        return sorted({*modules, *_functions})

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand:
        """The subcommand of a name.

        Raises:
            UserError: If there is none, with the near names.
        """
        module = _modules().get(cmd_name)
        if module is not None:
            return _made(cmd_name, _function_of(module))
        run_plugin_files()
        if cmd_name not in _functions:
            raise unknown_name("command", cmd_name, self.list_commands(ctx))
        return _made(cmd_name, _functions[cmd_name])


def _modules() -> dict[str, str]:
    """The modules of subcommands by the name of the subcommand, found without importing them."""
    found: dict[str, str] = {}
    for package in (PACKAGE, *(point.value for point in plugins(GROUP))):
        for module in _modules_in(package):
            name = _command_name(module.rpartition(".")[2])
            if name in found:
                raise UserError(f"Two commands are called {name!r}: in {found[name]} and in {module}.")
            found[name] = module
    return found


def _modules_in(package: str) -> Iterator[str]:
    for module in pkgutil.iter_modules(_folders_of(package)):
        if not module.name.startswith("_"):
            yield f"{package}.{module.name}"


def _folders_of(package: str) -> list[str]:
    """The folders of a package, found without importing it unless it lies in another one."""
    located = None
    with contextlib.suppress(ModuleNotFoundError):
        located = importlib.util.find_spec(package)
    if located is None or located.submodule_search_locations is None:
        raise UserError(f"The entry point {package!r} of the group {GROUP!r} is no package. It must name a package.")
    return located.submodule_search_locations


def _function_of(module: str) -> Callable[..., None]:
    name = module.rpartition(".")[2]
    there = vars(importlib.import_module(module))
    function: Callable[..., None] | None = there.get(name, there.get(f"{name}_"))
    if not callable(function):
        raise UserError(f"{module}: no function {name!r}. A module of commands must have a function of its own name.")
    return function


def _made(name: str, function: Callable[..., None]) -> TyperCommand:
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    made = typer.main.get_command(app)
    assert isinstance(made, TyperCommand)
    return made


def _command_name(function: str) -> str:
    return function.strip("_").replace("_", "-")
