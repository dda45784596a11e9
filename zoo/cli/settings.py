"""All settings of a run, with their defaults and what they mean."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from zoo.config import Config
from zoo.errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        name: Its name as `--set` takes it, e.g. `"train.epochs"`.
        default: Its default, where neither a preset nor the user gives another value.
        meaning: What it does, and the values it can have where these are few.
    """

    name: str
    default: object
    meaning: str


def all_settings() -> dict[str, Setting]:
    """The settings of every section by their names, in the order of the sections.

    Example:

    >>> from zoo.cli.settings import all_settings
    >>> all_settings()["train.epochs"].default
    20
    """
    return {one.name: one for one in _settings_of(Config, "")}


def find_settings(pattern: str) -> list[Setting]:
    """The settings that a section, a name or a shell-style pattern means.

    Raises:
        UserError: If there are none, with the near names.

    Example:

    >>> from zoo.cli.settings import find_settings
    >>> [one.name for one in find_settings("split")]
    ['split.name', 'split.options', 'split.refit']
    """
    known = all_settings()
    within = f"{pattern}."
    found = [one for name, one in known.items() if fnmatch.fnmatch(name, pattern) or name.startswith(within)]
    if not found:
        raise unknown_name("setting", pattern, {*known, *Config.model_fields})
    return found


def yaml_text(value: object) -> str:
    """A value as `--set` takes it: `null`, `true`, `[64, 32]`.

    Example:

    >>> from zoo.cli.settings import yaml_text
    >>> yaml_text((64, 32))
    '[64, 32]'
    """
    return value if isinstance(value, str) else json.dumps(value)


def _settings_of(section: type[BaseModel], path: str) -> Iterator[Setting]:
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _settings_of(inner, f"{path}{name}.")
        else:
            yield Setting(f"{path}{name}", _default(field), _meaning(field))


def _default(field: FieldInfo) -> object:
    default = field.get_default(call_default_factory=True)
    return None if default is PydanticUndefined else default


def _meaning(field: FieldInfo) -> str:
    said = field.description or ""
    return (
        f"{said} Values: {', '.join(get_args(field.annotation))}." if get_origin(field.annotation) is Literal else said
    )
