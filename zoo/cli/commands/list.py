"""`zoo list`: the architectures that there are."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.architectures import markdown_table, spec_json
from zoo.cli.console import AsJson, print_json, quiet_tensorflow
from zoo.errors import unknown_name
from zoo.registry import specs


def list_(
    pattern: Annotated[str, typer.Argument(help="A shell-style pattern, e.g. '*cf'.")] = "*",
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
) -> None:
    """List the architectures."""
    found = specs(pattern)
    if not found:
        raise unknown_name("architecture", pattern, specs())
    if as_json:
        print_json([spec_json(one) for one in found.values()])
        return
    if markdown:
        quiet_tensorflow()
        print(markdown_table(found.values()))
        return
    width, learner_width = max(map(len, found)), max(len(one.learner) for one in found.values())
    for one in found.values():
        print(f"{one.name:{width}}  {one.learner:{learner_width}}  {one.summary}")
