"""Options by name, checked on the annotations of the function that takes them.

`options_of` tells what a function takes, and `check_options` whether what is given fits. Hparams of an architecture
and options of an objective, a split or a dataset are checked by them. Values are checked into lists and
mappings. Numbers are not made of texts or of true and false; an integer is a number, and any list is a sequence.
"""

from __future__ import annotations

import ast
import collections.abc
import dataclasses
import functools
import inspect
import math
import numbers
import operator
import pathlib
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence

import annotated_types
from pydantic import AllowInfNan, ConfigDict, Strict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails

from zoo.errors import UserError, unknown_name

# The place of a fault within a value, e.g. `"[0]"` or `".expert.units"`; what stands there; and what should stand
# there, e.g. `"an integer"`.
Fault: typing.TypeAlias = tuple[str, object, str]
# Stands for an annotation or a default that there is not.
MISSING: typing.Final = inspect.Parameter.empty

# What an annotation may be made of to be read without running the file that it is in.
_NAMES: dict[str, object] = {
    **{kind.__name__: kind for kind in (bool, dict, float, int, list, object, str, tuple)},
    **{name: getattr(collections.abc, name) for name in ("Collection", "Iterable", "Mapping", "Sequence")},
    **{name: getattr(typing, name) for name in ("Any", "Literal", "Optional", "Union")},
    "Path": pathlib.Path,
    "collections": collections,
    "typing": typing,
}
_SYNTAX = (
    *(ast.Expression, ast.Name, ast.Attribute, ast.Load, ast.Constant, ast.BinOp, ast.BitOr),
    *(ast.Subscript, ast.Tuple, ast.UnaryOp, ast.USub),
)

# Kinds of pydantic's errors in the words of a user; the words of others are pydantic's own.
_WORDS = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    "string_type": "a text",
    **dict.fromkeys(("list_type", "tuple_type", "sequence_str", "iterable_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "keys and values"),
    "none_required": "null",
    "path_type": "a path",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
}
# The largest integer that TensorFlow counts and measures with (int32).
LARGEST: typing.Final = 2**31 - 1
# An error message shows at most so many characters of a value.
_LONGEST = 120


@dataclasses.dataclass(frozen=True)
class Option:
    """The values that may be given under one name.

    Args:
        type: The annotation of its value, or its text. Without one, the type is that of the default.
        default: The value it has if none is given; `MISSING` if one must be given.
    """

    type: object = MISSING
    default: object = MISSING


def options_of(function: Callable[..., object], without: Collection[str] = ()) -> dict[str, Option]:
    """The options that a function takes by name, or a class for its objects.

    Args:
        function: The function or class.
        without: Parameters that are no options.

    Returns:
        An `Option` for every other parameter except `*args` and `**kwargs`.

    Example:

    >>> def draw(rows, number: int = 4, power: float = 0.75): ...
    >>> options_of(draw, without=["rows"])["number"]
    Option(type=<class 'int'>, default=4)
    """
    made_by = function.__init__ if inspect.isclass(function) else function  # type: ignore[misc]
    names = {**_NAMES, **getattr(inspect.unwrap(made_by), "__globals__", {})}
    return {
        one.name: Option(_read(one.annotation, names), one.default)
        for one in inspect.signature(function).parameters.values()
        if one.name not in without and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }


def check_options(
    given: Mapping[str, object], options: Mapping[str, Option], *, kind: str = "option", of: str = ""
) -> None:
    """Raises a `UserError` unless every option is known and its value fits, and no required one is missing.

    Args:
        given: The values by name.
        options: What there is, see `options_of`.
        kind: What the options are called in messages, e.g. `"hparam"`.
        of: Whose options they are, e.g. `"split 'random'"`.

    Raises:
        UserError: For an unknown name, with the near ones; for a value of another type, with its place, which may be
            within a list; for an option without a default that is not given.

    Example:

    >>> options = {"hidden": Option(Sequence[int], (8,))}
    >>> check_options({"hidden": [128, 64]}, options, kind="hparam", of="'ncf'")
    >>> check_options({"hidden": [128, "a"]}, options, kind="hparam", of="'ncf'")
    Traceback (most recent call last):
        ...
    zoo.errors.UserError: 'a' is not an integer: hparam 'hidden[1]' of 'ncf'. Give an integer, as in the default [8].
    """
    whose = f" of {of}" if of else ""
    if not isinstance(given, Mapping):
        raise UserError(f"{short(given)} is not keys and values: {kind}s{whose}. Give keys of: {', '.join(options)}.")
    for name, value in given.items():
        if name not in options:
            raise unknown_name(f"{kind}{whose}", str(name), options)
        check_value(name, value, options[name], kind=kind, of=of)
    needed = [name for name, option in options.items() if option.default is MISSING]
    missing = next((name for name in needed if name not in given), None)
    if missing is not None:
        raise UserError(f"Nothing is given for {kind} {missing!r}{whose}, which has no default. Give a value.")


def check_value(name: str, value: object, option: Option, *, kind: str = "option", of: str = "") -> None:
    """Raises a `UserError` unless a value is of an option's type; see `check_options`."""
    given = plain(value)
    fault = find_not_finite(given)
    try:
        _adapter(option).validate_python(given)
    except ValidationError as error:
        fault = explain(error, value)
    if fault:
        place, wrong, wanted = fault
        whose, advice = f" of {of}" if of else "", _advice(option)
        raise UserError(f"{short(wrong)} is not {wanted}: {kind} '{name}{place}'{whose}. Give {wanted}{advice}.")


def _advice(option: Option) -> str:
    """The end of the sentence on what to give."""
    if option.default is MISSING:
        return ""
    if option.default is None or option.default == ():
        return ", or leave it out"
    return f", as in the default {_shown(option.default)}"


def find_not_finite(value: object, place: str = "") -> Fault | None:
    """The first number in a value that is infinite or no number at all, where the type of the value says nothing of it.

    Args:
        value: A value, which may be lists and mappings of others.
        place: What stands in front of the place of the fault.

    Returns:
        The fault, if there is one.

    Example:

    >>> find_not_finite({"expert": [0.5, math.inf]})
    ('.expert[1]', inf, 'a finite number')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return place, value, _WORDS["finite_number"]
    if isinstance(value, Mapping):
        within = ((f"{place}.{key}", one) for key, one in value.items())
    elif isinstance(value, (list, tuple)):
        within = ((f"{place}[{index}]", one) for index, one in enumerate(value))
    else:
        return None
    return next(filter(None, (find_not_finite(one, where) for where, one in within)), None)


def explain(error: ValidationError, value: object) -> Fault:
    """The fault that pydantic found in a value, in words of a user.

    Args:
        error: What it raised.
        value: What it was given.

    Returns:
        The fault.
    """
    found = [(*_follow(details["loc"], value), details) for details in error.errors()]
    # If a type is one of several, each of them has its errors; the one that fits best fails last.
    deepest = max(depth for _, depth, _ in found)
    place, _, first = next(one for one in found if one[1] == deepest)
    wanted = dict.fromkeys(_wanted(details) for at, _, details in found if at == place)
    return place, first["input"], " or ".join(wanted)


def read_annotation(text: str) -> object:
    """The type that an annotation's source text means, if it is made of plain types only; else `MISSING`.

    Example:

    >>> read_annotation("Sequence[int] | None")
    collections.abc.Sequence[int] | None
    """
    return _read(text, _NAMES)


def _read(annotation: object, names: Mapping[str, object]) -> object:
    if not isinstance(annotation, str):
        return annotation
    try:
        tree = ast.parse(annotation, mode="eval")
        # Names, brackets and bars only: nothing in it is called.
        if all(isinstance(node, _SYNTAX) for node in ast.walk(tree)):
            return eval(compile(tree, "<annotation>", "eval"), {"__builtins__": {}}, dict(names))
    except (SyntaxError, NameError, AttributeError, TypeError, ValueError):
        pass
    return MISSING


def _adapter(option: Option) -> TypeAdapter[object]:
    annotation = read_annotation(option.type) if isinstance(option.type, str) else option.type
    config = ConfigDict(arbitrary_types_allowed=True)
    if annotation is not MISSING:
        try:
            return TypeAdapter(_strict(annotation), config=config)
        except (PydanticUserError, TypeError):
            pass
    return TypeAdapter(_strict(_type_of(option.default)), config=config)


def _type_of(default: object) -> object:
    """The type of values that may replace a default."""
    for kind in (bool, int, float, str):
        if isinstance(default, kind):
            return kind
    if isinstance(default, Mapping):
        return Mapping[str, object]
    return _type_of_list(default) if isinstance(default, Sequence) else object


def _type_of_list(default: Sequence[object]) -> object:
    kinds = {_type_of(one) for one in default}
    if kinds == {int, float}:
        kinds = {float}
    return Sequence[kinds.pop()] if len(kinds) == 1 else Sequence[object]  # type: ignore[misc]


def _strict(annotation: object) -> type[object]:
    """The annotation, with every number, text and truth in it taken as it is and not converted."""
    return typing.cast("type[object]", _strictly(annotation))


def _strictly(annotation: object) -> object:
    if annotation is float:
        return typing.Annotated[float, Strict(), AllowInfNan(False)]
    if annotation is int:
        return typing.Annotated[int, Strict(), annotated_types.Interval(ge=-LARGEST, le=LARGEST)]
    if annotation in (bool, str):
        return typing.Annotated[annotation, Strict()]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if not arguments or origin is typing.Literal:
        return annotation
    if origin is typing.Annotated:
        return typing.Annotated[(_strictly(arguments[0]), *arguments[1:])]
    return _rebuilt(origin, tuple(_strictly(one) for one in arguments))


def _rebuilt(origin: object, within: tuple[object, ...]) -> object:
    """A generic type with other arguments."""
    if origin is collections.abc.Iterable:
        # Pydantic would look into it only when it is gone through.
        origin = collections.abc.Sequence
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, within)
    return origin[within]  # type: ignore[index]


def plain(value: object) -> object:
    """A value, with NumPy's numbers in it as Python's and its tuples as lists."""
    if isinstance(value, numbers.Number) and hasattr(value, "item"):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def _follow(loc: Sequence[int | str], value: object) -> tuple[str, int]:
    """The place within a value that pydantic means, which has the names of types in between, and how deep it is."""
    place, depth = "", 0
    for part in loc:
        if isinstance(value, Mapping) and part in value:
            place, value, depth = f"{place}.{part}", value[part], depth + 1
        elif _is_index(part, value):
            place, value, depth = f"{place}[{part}]", value[part], depth + 1  # type: ignore[index]
    return place, depth


def _is_index(part: int | str, value: object) -> bool:
    return isinstance(part, int) and isinstance(value, (list, tuple)) and part < len(value)


def _wanted(details: ErrorDetails) -> str:
    if details["type"] == "is_instance_of" and details["ctx"]["class"] in ("Sequence", "Collection", "Iterable"):
        return "a list"
    words = _WORDS.get(details["type"])
    if not words:
        return details["msg"].removeprefix("Input should be ")
    limits = details.get("ctx", {}).items()
    return words.format(**{name: f"{one:g}" if isinstance(one, float) else one for name, one in limits})


def _shown(default: object) -> str:
    return short(list(default) if isinstance(default, tuple) else default)


def short(value: object) -> str:
    """A value as an error message shows it: whole, or its beginning."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
