"""`zoo list`: the architectures that there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from zoo.cli.architectures import markdown_table, spec_json
from zoo.cli.console import AsJson, print_json
from zoo.errors import unknown_name
from zoo.registry import Spec, specs


def list_(
    pattern: Annotated[str, typer.Argument(help="A shell-style pattern, e.g. '*cf'.")] = "*",
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
) -> None:
    """List the architectures."""
    found = [*specs(pattern).values()]
    if not found:
        raise unknown_name("architecture", pattern, specs())
    if as_json:
        print_json([spec_json(one) for one in found])
    elif markdown:
        print(markdown_table(found))
    else:
        _print_lines(found)


def _print_lines(found: Sequence[Spec]) -> None:
    width = max(len(one.name) for one in found)
    learner_width = max(len(one.learner) for one in found)
    for one in found:
        print(f"{one.name:{width}}  {one.learner:{learner_width}}  {one.summary}")
