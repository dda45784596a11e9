"""Parts that commands on runs share."""

from __future__ import annotations

from collections.abc import Iterator
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
    columns = ["metric", "value", "95% interval"]
    if evaluation["without_context"]:
        columns.append("without context")
    rows = [*_metric_rows(evaluation), *((name, f"{value:.4f}", "", "") for name, value in run.dataset.facts.items())]
    print_table("", columns, [row[: len(columns)] for row in rows])


def print_margin(evaluation: EvaluationJson) -> None:
    """Prints what an evaluation is worth beside popularity, if it says so."""
    from zoo.evaluation.evaluation import Margin

    if margin := Margin.of(evaluation):
        print(margin)


def _metric_rows(evaluation: EvaluationJson) -> Iterator[tuple[str, str, str, str]]:
    without = evaluation["without_context"]
    for name, interval in evaluation["metrics"].items():
        value, ends = interval_cells(interval)
        yield name, value, ends, interval_cells(without[name])[0] if without else ""
