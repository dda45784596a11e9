"""`zoo settings`: what can be set, and what it means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.chosen import choices_of, default_text
from zoo.cli.console import AsJson, print_json, print_table
from zoo.cli.settings import Setting, find_settings, yaml_text

if TYPE_CHECKING:
    from zoo.options import Option

HINT = """The hparams of an architecture: zoo info NAME. Its preset replaces some defaults.
The options of objectives, splits and datasets: zoo settings train.options, split.options or data.options."""


def settings(
    pattern: Annotated[
        str, typer.Argument(help="A section, a setting or a shell-style pattern, e.g. train or 'train.w*'.")
    ] = "*",
    as_json: AsJson = False,
) -> None:
    """List the settings that `--set` and YAML files take, with their defaults and meanings."""
    found = find_settings(pattern)
    if as_json:
        print_json([_to_json(one, pattern) for one in found])
        return
    rows = [(one.name, yaml_text(one.default), one.meaning) for one in found]
    print_table("", ["setting", "default", "meaning"], rows)
    choices = choices_of(pattern)
    if choices:
        print_table("", ["name", "options and their defaults"], _choice_rows(choices))
    print(HINT)


def _to_json(one: Setting, pattern: str) -> dict[str, object]:
    """A setting as JSON, with what it can name where it is the one that was asked for."""
    choices = choices_of(pattern)
    more = {"choices": {name: _defaults(options) for name, options in choices.items()}} if choices else {}
    return {**dataclasses.asdict(one), **more}


def _defaults(options: Mapping[str, Option]) -> dict[str, str]:
    return {name: default_text(option) for name, option in options.items()}


def _choice_rows(choices: Mapping[str, Mapping[str, Option]]) -> Sequence[tuple[str, str]]:
    texts = {name: _defaults(options).items() for name, options in choices.items()}
    return [(name, ", ".join(f"{one}={text}" for one, text in items) or "-") for name, items in texts.items()]
