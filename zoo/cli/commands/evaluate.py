"""`zoo evaluate`: the figures of a run, by a protocol that is named."""

from __future__ import annotations

from zoo.cli.console import AsJson, print_json
from zoo.cli.protocols import EvaluateSettings, HeldOutPart, ProtocolName
from zoo.cli.runs import RunFolder, load_run, print_evaluation, print_margin
from zoo.config import EvaluateConfig, Settings, changed, parse_settings
from zoo.errors import UserError


def evaluate(
    run: RunFolder,
    protocol: ProtocolName = None,
    part: HeldOutPart = "test",
    settings: EvaluateSettings = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run by a named protocol, with bootstrap intervals over users, and compare it with popularity."""
    chosen = _of_evaluate(settings or [])
    loaded = load_run(run)
    evaluation = loaded.evaluate(protocol, part, **chosen).to_json()
    if as_json:
        print_json(evaluation)
    else:
        print_evaluation(evaluation, loaded)
        print_margin(evaluation)


def _of_evaluate(settings: list[str]) -> Settings:
    """The settings of the section `evaluate`. A mistake in them is an error before TensorFlow is imported."""
    sections = parse_settings(settings)
    chosen: Settings = sections.pop("evaluate", {})
    if sections:
        raise UserError(
            f"A run that is trained has its other settings: --set {next(iter(sections))}. "
            "Set evaluate.NAME only; `zoo settings evaluate` lists them."
        )
    changed(EvaluateConfig(), chosen, "evaluate")
    return chosen
