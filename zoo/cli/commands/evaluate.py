"""`zoo evaluate`: the figures of a run, by a protocol that is named."""

from __future__ import annotations

from zoo.cli.console import AsJson, print_json
from zoo.cli.protocols import HeldOutPart, ProtocolName
from zoo.cli.runs import RunFolder, load_run, print_evaluation


def evaluate(
    run: RunFolder, protocol: ProtocolName = None, part: HeldOutPart = "test", as_json: AsJson = False
) -> None:
    """Evaluate a run by a named protocol, with bootstrap intervals over users."""
    loaded = load_run(run)
    evaluation = loaded.evaluate(protocol, part).to_json()
    if as_json:
        print_json(evaluation)
    else:
        print_evaluation(evaluation, loaded)
