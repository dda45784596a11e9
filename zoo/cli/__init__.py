"""The `zoo` command. Commands of other packages join by the entry point group `zoo.commands`."""

from __future__ import annotations

import sys

import typer

from zoo.cli.bench import bench
from zoo.cli.compare import compare
from zoo.cli.console import fail
from zoo.cli.doctor import doctor
from zoo.cli.models import info, list_models
from zoo.cli.runs import evaluate, recommend, train
from zoo.errors import UserError, ZooError
from zoo.plugins import plugins


def make_app() -> typer.Typer:
    """The command with all its subcommands, those of other packages included."""
    app = typer.Typer(
        name="zoo",
        help="Train recommenders, evaluate them, and export them with proof that they still say the same.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("list")(list_models)
    for command in (info, train, evaluate, recommend, compare, bench):
        app.command()(command)
    for point in plugins("zoo.commands"):
        point.load()(app)
    app.command()(doctor)
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
        # Whoever read the output, e.g. `head`, has enough.
        sys.stderr.close()
        sys.exit(0)
