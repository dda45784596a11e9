"""The `zoo` command. `zoo.cli.loader` says how other packages and a user's own files add subcommands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from zoo.cli.console import fail
from zoo.cli.loader import Commands, command
from zoo.errors import UserError, ZooError

__all__ = ["command", "main", "make_app"]


def make_app() -> typer.Typer:
    """The command with all its subcommands, each of which is imported when it is asked for."""
    app = typer.Typer(
        name="zoo",
        help="Train recommenders, evaluate them, and export them with proof that they still say the same.\n\n"
        "Start with `zoo demo`. Your own data: `zoo train`, `zoo evaluate`, `zoo compare`, `zoo export`.",
        cls=Commands,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    return app


def main() -> None:
    """Runs the command. Exits with 2 for a mistake of the user and with 1 for a failure."""
    try:
        make_app()()
    except UserError as error:
        fail(str(error), 2)
    except ZooError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail("Interrupted.", 130)
    except BrokenPipeError:
        # The reader of the output, e.g. `head`, has enough.
        sys.stderr.close()
        sys.exit(0)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from zoo import __version__

        print(f"recozoo {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """The options of `zoo` itself."""
