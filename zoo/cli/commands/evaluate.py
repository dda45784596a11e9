"""`zoo evaluate`: the figures of a run, by a protocol that is named."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.console import AsJson, print_json
from zoo.cli.runs import RunFolder, load_run, print_evaluation
from zoo.evaluation.protocols import PROTOCOLS


def evaluate(
    run: RunFolder,
    protocol: Annotated[str | None, typer.Option(help=f"One of {', '.join(PROTOCOLS)}.")] = None,
    part: Annotated[str, typer.Option(help="valid or test.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Evaluate a run by a named protocol, with bootstrap intervals over users."""
    loaded = load_run(run)
    evaluation = loaded.evaluate(protocol, part).to_json()  # type: ignore[arg-type]
    if as_json:
        print_json(evaluation)
    else:
        print_evaluation(evaluation, loaded)
