"""The architectures there are, read from their files without running them, so that listing stays fast."""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError, unknown_name
from zoo.plugins import plugins
from zoo.registries import python_files, run_as_module

if TYPE_CHECKING:
    from zoo.families import Recommender
    from zoo.options import Option
    from zoo.schema import Role, Schema

MODELS_FOLDER = Path(__file__).parent / "models"
# Files and folders with architectures of one's own, separated as in PATH.
MODELS_VARIABLE = "ZOO_MODELS"

Builder = Callable[..., "Recommender"]
# What architectures that learn from the order of events are not meant for.
UNORDERED = (
    "splits that hold out items from anywhere in a history, such as random, where what comes next tells little of what "
    "is asked (try split.name=leave-last-out)"
)

_builders: dict[str, Builder] = {}
_registered: dict[str, Spec] = {}


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is known of an architecture before it is built.

    Args:
        name: Its name, which is also its function's name.
        query: The roles its query side reads.
        hparams: Its hparams with their defaults.
        annotations: The annotations of its hparams, as types or as their source text, where there are any.
        tiny: Hparams that make it small. Tests use them.
        summary: One line on what it is.
        objective: The objective it trains with by default; empty for a solved architecture.
        solver: How its weights are solved; empty for an architecture that trains with an objective.
        paper: Where it comes from.
        ordered: Whether histories must have an order.
        unfit: The data that it is not meant for, in words that follow "not meant for"; empty if there is none.
        moved: Hparams that it had once, with the architecture that has them now.
        file: Where it is defined.
        module: The module to import it from, if it is of an installed package.
    """

    name: str
    query: tuple[Role, ...]
    hparams: Mapping[str, Any]
    tiny: Mapping[str, Any]
    summary: str
    objective: str = ""
    solver: str = ""
    paper: str = ""
    ordered: bool = False
    unfit: str = ""
    moved: Mapping[str, str] = dataclasses.field(default_factory=dict)
    file: str = ""
    module: str = ""
    # Types where the file was run, their text where it was only read.
    annotations: Mapping[str, object] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def not_meant_for(self) -> str:
        """The data that it is not meant for, in words; empty if there is none."""
        return " or ".join(filter(None, [self.unfit, UNORDERED if self.ordered else ""]))

    @property
    def learner(self) -> str:
        """The name of its objective or solver, whichever it has."""
        return self.objective or self.solver

    @property
    def options(self) -> dict[str, Option]:
        """The type and the default of each hparam."""
        from zoo.options import MISSING, Option

        return {name: Option(self.annotations.get(name, MISSING), default) for name, default in self.hparams.items()}

    def check_hparams(self, hparams: Mapping[str, object]) -> None:
        """Raises a `UserError` for an unknown hparam, or for a value that is not of its hparam's type.

        Args:
            hparams: Values by the names of hparams.

        Raises:
            UserError: With the near names, or with the place of the wrong value, e.g. `hidden[0]`.

        Example:

        >>> spec("ncf").check_hparams({"hidden": [64, 32]})
        """
        for name in self.moved.keys() & hparams.keys():
            raise UserError(
                f"{self.name!r} has no hparam {name!r} any more. It belongs to the architecture {self.moved[name]!r}: "
                f"use that one, or leave {name!r} out."
            )
        # Imported here, because pydantic takes long to import and a list of architectures needs no check.
        from zoo.options import check_options

        check_options(hparams, self.options, kind="hparam", of=repr(self.name))


def register(
    name: str,
    *,
    query: tuple[Role, ...],
    tiny: Mapping[str, Any],
    objective: str = "",
    solver: str = "",
    paper: str = "",
    ordered: bool = False,
    unfit: str = "",
    moved: Mapping[str, str] | None = None,
) -> Callable[[Builder], Builder]:
    """Registers an architecture: a function from a schema and hparams to one of the three families.

    Args:
        name: The name it is built by. Must be the function's name.
        query: The roles its query side reads, e.g. `("user",)`.
        tiny: Hparams that make it small; the contract tests build it with these.
        objective: The objective it trains with by default, e.g. `"pointwise"`.
        solver: How its weights are solved, e.g. `"closed_form"`, in place of an objective. The function then gives a
            `solver` to its family.
        paper: Where it comes from, e.g. `"arXiv:1708.05031"`.
        ordered: Whether it is meaningless on histories without an order.
        unfit: The data that it is not meant for, in words that follow "not meant for".
        moved: Hparams that it had once, with the architecture that has them now. The error names it.

    Returns:
        A decorator that leaves the function as it is.

    Raises:
        UserError: If the name is not the function's, or there is not exactly one of an objective and a solver.

    Example:

    ```python
    @register("mine", objective="pointwise", query=("user",), tiny={"embedding_dim": 4})
    def mine(schema, *, embedding_dim=32):
        ...
    ```
    """

    def decorate(builder: Builder) -> Builder:
        function = inspect.unwrap(builder)
        where = f"{inspect.getsourcefile(function)}"
        _check_name(name, function.__name__, where)
        _check_has_one(name, objective, solver, where)
        module = sys.modules.get(function.__module__)
        keywords = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        _builders[name] = builder
        _registered[name] = Spec(
            name=name,
            objective=objective,
            solver=solver,
            query=tuple(query),
            hparams={one.name: one.default for one in keywords},
            annotations={one.name: one.annotation for one in keywords if one.annotation is not one.empty},
            tiny=dict(tiny),
            summary=_first_line(function.__doc__ or (module.__doc__ if module else None)),
            paper=paper,
            ordered=ordered,
            unfit=unfit,
            moved=dict(moved or {}),
            file=inspect.getsourcefile(function) or "",
            module=function.__module__,
        )
        return builder

    return decorate


def specs(pattern: str = "*") -> dict[str, Spec]:
    """The architectures whose names match a shell-style pattern, by name, sorted."""
    found: dict[str, Spec] = {}
    for file, module in _files():
        for one in _read(file, module):
            if one.name in found:
                raise UserError(f"Architecture {one.name!r} is in two files: {found[one.name].file} and {file}.")
            found[one.name] = one
    for name, one in _registered.items():
        found.setdefault(name, one)
    return {name: found[name] for name in sorted(found) if fnmatch.fnmatch(name, pattern)}


def spec(name: str) -> Spec:
    """What is known of one architecture. Raises a `UserError` with the near names for a typo."""
    known = specs()
    if name not in known:
        raise unknown_name("architecture", name, known)
    return known[name]


def build(
    name: str,
    schema: Schema | None = None,
    *,
    num_users: int | None = None,
    num_items: int | None = None,
    **hparams: Any,
) -> Recommender:
    """Builds an architecture.

    Args:
        name: A registered name, see `list_models()`.
        schema: The features of the data. Without one, plain ids of `num_users` and `num_items`.
        num_users: Known users, where no schema is given.
        num_items: Known items, where no schema is given.
        **hparams: Hparams of the architecture, see `info(name)`.

    Returns:
        A `keras.Model` that scores (query, item) pairs, with `score` and `recommend`.

    Raises:
        UserError: If a name or an hparam is unknown, or the architecture cannot be built with the hparams.

    Example:

    >>> model = build("ncf", num_users=943, num_items=1682, hidden=(128, 64))
    """
    from zoo.options import plain
    from zoo.schema import Schema

    known = spec(name)
    known.check_hparams(hparams)
    # Neither Keras nor JSON takes NumPy's numbers everywhere.
    hparams = {hparam: plain(value) for hparam, value in hparams.items()}
    if schema is None:
        sizes = {"num_users": num_users, "num_items": num_items}
        schema = Schema.of_ids(**{key: value for key, value in sizes.items() if value is not None})
    elif num_users is not None or num_items is not None:
        raise UserError("Give either a schema or num_users and num_items, not both.")
    # A schema of its own, because a schema remembers the inputs that a model was built from.
    try:
        recommender = _builder(known)(Schema(schema), **hparams)
    except UserError:
        raise
    except (ValueError, ArithmeticError) as error:
        # Keras raises the one if units are below 1, an activation is unknown and the like; numbers beyond all measure
        # give the other.
        raise UserError(f"{name!r} cannot be built with {hparams}: {str(error).strip().splitlines()[0]}") from error
    recommender.describe(name, {**known.hparams, **hparams}, schema)
    read = {schema[query].role for query in recommender.query_names}
    if not read <= set(known.query):
        raise UserError(
            f"{known.file}: architecture {name!r} declares query={known.query} but reads {tuple(sorted(read))}."
        )
    return recommender


def _builder(known: Spec) -> Builder:
    ran = _registered.get(known.name)
    if ran is None or ran.file != known.file:
        if known.module:
            importlib.import_module(known.module)
        else:
            file = Path(known.file)
            # The decorators of the file register what is in it.
            run_as_module(file, f"zoo_models_{file.stem}")
    return _builders[known.name]


def _files() -> Iterator[tuple[Path, str]]:
    """Every file that may hold architectures, and its module: the zoo's own, installed packages', the user's."""
    for path in sorted(MODELS_FOLDER.glob("*.py")):
        yield path, f"zoo.models.{path.stem}"
    for point in plugins("zoo.models"):
        located = importlib.util.find_spec(point.module)
        if located is not None and located.origin:
            yield Path(located.origin), point.module
    for place in filter(None, os.environ.get(MODELS_VARIABLE, "").split(os.pathsep)):
        path = Path(place)
        if not path.exists():
            raise UserError(f"{MODELS_VARIABLE} names {place!r}, which does not exist.")
        for file in python_files(path):
            yield file, ""


def _read(file: Path, module: str) -> list[Spec]:
    """The specs of a file's `@register` lines. A file that has not changed is read once."""
    try:
        described = file.stat()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}).") from error
    return _read_as_of(file, module, described.st_mtime_ns, described.st_size)


@functools.cache
def _read_as_of(file: Path, module: str, changed: int, size: int) -> list[Spec]:
    return list(_parsed(file, module))


def _parsed(file: Path, module: str) -> Iterator[Spec]:
    """The specs of a file's `@register` lines, whose arguments must therefore be literals."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except SyntaxError as error:
        raise UserError(f"{file}, line {error.lineno}: not valid Python ({error.msg}).") from error
    except ValueError as error:
        raise UserError(f"{file}: not Python in UTF-8 ({error}).") from error
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == "register":
                docstring = ast.get_docstring(function) or ast.get_docstring(tree)
                one = _spec_of(decorator, function, docstring, file)
                where = f"{file}, line {decorator.lineno}"
                _check_name(one.name, function.name, where)
                _check_has_one(one.name, one.objective, one.solver, where)
                yield dataclasses.replace(one, module=module)


def _check_name(name: str, function: str, where: str) -> None:
    if name != function:
        raise UserError(f"{where}: architecture {name!r} must have its function's name, {function!r}.")


def _check_has_one(name: str, objective: str, solver: str, where: str) -> None:
    if bool(objective) == bool(solver):
        raise UserError(
            f"{where}: architecture {name!r} must have either an objective or a solver. "
            f"Received: objective={objective!r}, solver={solver!r}."
        )


def _spec_of(decorator: ast.Call, function: ast.FunctionDef, docstring: str | None, file: Path) -> Spec:
    arguments = function.args
    try:
        name = ast.literal_eval(decorator.args[0])
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in decorator.keywords}
        hparams = {
            argument.arg: ast.literal_eval(default)
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        }
        annotations = {one.arg: ast.unparse(one.annotation) for one in arguments.kwonlyargs if one.annotation}
        return Spec(
            name=name,
            hparams=hparams,
            annotations=annotations,
            summary=_first_line(docstring),
            file=str(file),
            **keywords,
        )
    except (ValueError, IndexError, TypeError) as error:
        raise UserError(
            f"{file}, line {decorator.lineno}: the arguments of @register and the hparams' defaults "
            f"must be literals with the names of zoo.register ({error})."
        ) from error


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n")[0]
