"""YAML as settings have it: numbers of YAML 1.2, a mapping at the top, and no more than a person would write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import UserError

# Settings that people write are far below these limits. What is above them is a mistake or means harm.
MOST_CHARACTERS = 2**20
MOST_VALUES = 20_000
DEEPEST = 30
LONGEST_NUMBER = 1000


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of YAML 1.2: `1e-3` is one, `012` is 12, `1_000` and `1:30` are texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """The integer in a scalar: decimal, `0o` octal or `0x` hexadecimal."""
        text = self.construct_scalar(node)
        if len(text) > LONGEST_NUMBER:
            raise yaml.YAMLError(f"an integer of {len(text)} digits is too long")
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


_NUMBERS = {
    "int": r"^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$",
    "float": r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def parse_yaml(text: str) -> object:
    """The content of a YAML text, with the numbers of YAML 1.2. Raises a `yaml.YAMLError` if it is not valid.

    Example:

    >>> parse_yaml("[1e-3, 012, yes]")
    [0.001, 12, True]
    """
    _check_size(text)
    try:
        return yaml.load(text, _Loader)
    except ValueError as error:  # a date such as 2001-99-99
        raise yaml.YAMLError(str(error)) from error


def _check_size(text: str) -> None:
    """Raises a `yaml.YAMLError` if a text is too long, too deep, or stands for too many values with all its aliases.

    It goes through the text without building anything, because a short text can stand for more than fits in memory.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters, and at most {MOST_CHARACTERS:,} are read")
    values, sizes = 0, dict[str, int]()
    open_ones: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_ones.pop()
            if anchor:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_ones):
                raise yaml.YAMLError(f"what is called {event.anchor!r} contains itself")
            values += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.CollectionStartEvent):
                open_ones.append((event.anchor, values))
            values += 1
        if values > MOST_VALUES:
            raise yaml.YAMLError(f"it stands for more than {MOST_VALUES:,} values")
        if len(open_ones) > DEEPEST:
            raise yaml.YAMLError(f"lists and mappings are inside each other more than {DEEPEST} deep")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Args:
        path: The file.

    Returns:
        Its mapping; an empty one for an empty file.

    Raises:
        UserError: If the file is missing, is no valid YAML or is no mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Correct the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({error}). Correct the file.") from error
    if content is not None and not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values. Received: {type(content).__name__}. Correct the file.")
    return content or {}
