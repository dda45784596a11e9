"""`zoo settings`: what can be set, and what it means."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Annotated

import typer

from zoo.cli.console import AsJson, print_json, print_table
from zoo.errors import unknown_name


def settings(
    pattern: Annotated[
        str, typer.Argument(help="A section, a setting or a shell-style pattern, e.g. train or 'train.w*'.")
    ] = "*",
    as_json: AsJson = False,
) -> None:
    """List the settings that `--set` and YAML files take, with their defaults and meanings."""
    from zoo.cli.settings import all_settings, yaml_text

    known = all_settings()
    found = [one for name, one in known.items() if fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}.")]
    if not found:
        raise unknown_name("setting", pattern, {*known, *(name.split(".")[0] for name in known)})
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
        return
    print_table(
        "", ["setting", "default", "meaning"], [(one.name, yaml_text(one.default), one.meaning) for one in found]
    )
    print("The hparams of an architecture: zoo info NAME. Its preset replaces some defaults.")
