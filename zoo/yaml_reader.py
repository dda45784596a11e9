"""YAML as settings have it: numbers of YAML 1.2, and a mapping at the top."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import UserError


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of YAML 1.2: `1e-3` is one, `012` is 12, `1_000` and `1:30` are texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """The integer in a scalar: decimal, `0o` octal or `0x` hexadecimal."""
        text = self.construct_scalar(node)
        try:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except ValueError as error:  # Python reads at most so many digits.
            raise yaml.YAMLError(f"an integer of {len(text)} digits is too long") from error


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
    return yaml.load(text, _Loader)


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
