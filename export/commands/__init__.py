"""The commands of this package, one a file."""

from __future__ import annotations

import importlib

import typer

NAMES = ("export", "verify", "refresh", "demo")


def register(app: typer.Typer) -> None:
    """Adds the commands to the `zoo` command."""
    for name in NAMES:
        app.command()(getattr(importlib.import_module(f"export.commands.{name}"), name))
