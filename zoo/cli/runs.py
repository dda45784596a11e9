"""What commands on runs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import interval_cells, print_table, quiet_tensorflow

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import EvaluationJson
    from zoo.run import Run

RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.")]


def load_run(folder: Path) -> Run:
    """The run in a folder. A wrong folder is an error before TensorFlow is imported."""
    from zoo.files import check_run

    check_run(folder)
    quiet_tensorflow()
    from zoo.run import Run

    return Run.load(folder)


def print_evaluation(evaluation: EvaluationJson, run: Run) -> None:
    """Prints the protocol, the metrics with their intervals, and what is known of the data."""
    print(f"Protocol {evaluation['protocol']}: {evaluation['about']}")
    without = evaluation["without_context"]
    rows = [
        (name, *interval_cells(interval), interval_cells(without[name])[0] if without else "")
        for name, interval in evaluation["metrics"].items()
    ]
    rows += [(name, f"{value:.4f}", "", "") for name, value in run.dataset.facts.items()]
    columns = ["metric", "value", "95% interval", "without context"]
    shown = len(columns) if without else len(columns) - 1
    print_table("", columns[:shown], [row[:shown] for row in rows])
