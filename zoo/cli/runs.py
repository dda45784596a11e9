"""`zoo train`, `zoo evaluate` and `zoo recommend`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import AsJson, Overwrite, interval_cells, print_json, print_table, quiet_tensorflow
from zoo.errors import UserError
from zoo.evaluation.protocols import PROTOCOLS

if TYPE_CHECKING:
    from zoo.run import Run

# A feature record as it is written in a shell.
RECORD = """'{"age": 34}'"""

RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.")]


def train(
    model: Annotated[str, typer.Argument(help="A registered architecture, or a YAML file with a key 'model'.")],
    data: Annotated[str | None, typer.Option(help="A named dataset, or a CSV, TSV, Parquet or YAML file.")] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder of the files of a named dataset.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, e.g. train.epochs=3 or embedding_dim=16.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/MODEL-DATA.")] = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an interrupted run.")] = False,
    workers: Annotated[
        str | None, typer.Option(help="host:port of every worker, with commas; the same on each.")
    ] = None,
    worker: Annotated[int | None, typer.Option(help="Which of the workers this is, counted from 0.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train an architecture on data, evaluate it and save the run."""
    from zoo.config import make_config, parse_settings
    from zoo.files import check_free
    from zoo.registry import spec

    sections = parse_settings(settings or [])
    if data_root is not None:
        sections.setdefault("data", {})["data_root"] = data_root
    if workers is not None:
        sections.setdefault("train", {})["workers"] = workers.split(",")
    if worker is not None:
        sections.setdefault("train", {})["worker"] = worker
    config = make_config(model, sections)
    spec(config.model).check_hparams(config.hparams)
    source = data or config.data.source
    if source is None:
        raise UserError("No data was given. Name a dataset or a file, e.g. --data movielens-sample.")
    folder = out or Path("runs") / f"{config.model}-{Path(source).stem}"
    check_free(folder, overwrite, "run.json")
    quiet_tensorflow()
    from zoo.training.train import train as train_run

    run = train_run(model, source, out=folder, overwrite=overwrite, resume=resume, progress=not as_json, **sections)
    if as_json:
        print_json(
            {
                "run": str(run.folder) if run.folder else None,
                "epochs": len(run.history),
                "notes": run.dataset.notes,
                "metrics": run.metrics,
            }
        )
        return
    _print_notes(run)
    for evaluation in run.metrics.values():
        _print_evaluation(evaluation, run)
    print(f"Saved to {run.folder}" if run.folder else "Worker 0 saves the run.")


def evaluate(
    run: RunFolder,
    protocol: Annotated[str | None, typer.Option(help=f"One of {', '.join(PROTOCOLS)}.")] = None,
    part: Annotated[str, typer.Option(help="valid or test.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Evaluate a run by a named protocol, with bootstrap intervals over users."""
    loaded = _load(run)
    evaluation = loaded.evaluate(protocol, part).to_json()  # type: ignore[arg-type]
    if as_json:
        print_json(evaluation)
    else:
        _print_evaluation(evaluation, loaded)


def recommend(
    run: RunFolder,
    users: Annotated[list[str] | None, typer.Option("--user", help="A user id; may be repeated.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(help=f"What is known of a new user, e.g. {RECORD}; may be repeated."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Recommend items met before, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend items to users of a run. An unknown user is legal, and so is one known by features alone."""
    asked = [*(users or []), *map(_feature_record, features or [])]
    if not asked:
        raise UserError(f"Nobody was named. Give users, e.g. --user 15 or --features {RECORD}.")
    frame = _load(run).recommend(asked, k, exclude_seen=not keep_seen)
    if as_json:
        print_json(frame.to_dict("records"))
    else:
        rows = [(*row[:3], f"{row[3]:.4f}", row[4]) for row in frame.itertuples(index=False)]
        print_table("", list(frame.columns), rows)


def _feature_record(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError as error:  # no JSON, or an integer too long to read
        raise UserError(f"--features: {text!r} is no JSON ({error}). Write e.g. {RECORD}.") from error
    if not isinstance(record, dict):
        raise UserError(f"--features: expected a JSON object, e.g. {RECORD}. Received: {text!r}.")
    return record


def _load(folder: Path) -> Run:
    from zoo.files import check_run

    # Asked first, so that a wrong folder is answered before TensorFlow is imported.
    check_run(folder)
    quiet_tensorflow()
    from zoo.run import Run

    return Run.load(folder)


def _print_notes(run: Run) -> None:
    for note in run.dataset.notes:
        print(f"  {note}")


def _print_evaluation(evaluation: dict[str, Any], run: Run) -> None:
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
