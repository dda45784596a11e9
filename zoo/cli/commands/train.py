"""`zoo train`: an architecture and data become a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import AsJson, Overwrite, print_json, printable, quiet_tensorflow
from zoo.cli.runs import print_evaluation, print_margin
from zoo.config import Config, Settings, make_config, parse_settings
from zoo.errors import UserError
from zoo.files import check_free
from zoo.registry import spec

if TYPE_CHECKING:
    from zoo.run import Run


def train(
    model: Annotated[str, typer.Argument(help="A registered architecture, or a YAML file with a key 'model'.")],
    data: Annotated[str | None, typer.Option(help="A named dataset, or a CSV, TSV, Parquet or YAML file.")] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder of the files of a named dataset.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE, e.g. train.epochs=3; see `zoo settings`. May be repeated.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/MODEL-DATA.")] = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an interrupted run.")] = False,
    workers: Annotated[
        str | None, typer.Option(help="host:port of every worker, separated by commas; the same list on each.")
    ] = None,
    worker: Annotated[int | None, typer.Option(help="The number of this worker, counted from 0.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train an architecture on data, evaluate it and save the run."""
    sections = _sections(settings or [], data_root, workers, worker)
    config = _checked_config(model, sections)
    source = data or config.data.source
    if source is None:
        raise UserError(
            "No data is given: setting 'data.source'. Name a dataset or a file, e.g. --data movielens-sample."
        )
    folder = out or Path("runs") / f"{config.model}-{Path(source).stem}"
    check_free(folder, overwrite, "run.json")
    quiet_tensorflow()
    from zoo.training.train import make_run

    run = make_run(model, source, out=folder, overwrite=overwrite, resume=resume, progress=not as_json, **sections)
    if as_json:
        print_json(_run_json(run))
    else:
        _print_run(run)


def _sections(settings: list[str], data_root: str | None, workers: str | None, worker: int | None) -> Settings:
    """The settings of `--set` and of the options that are settings too, by section."""
    sections = parse_settings(settings)
    if "model" in sections:
        raise UserError(
            f"--set model={sections['model']}: the architecture is the argument of zoo train. Leave the setting out."
        )
    given: dict[str, dict[str, object]] = {
        "data": {"data_root": data_root},
        "train": {"workers": workers and workers.split(","), "worker": worker},
    }
    for section, values in given.items():
        sections.setdefault(section, {}).update({name: value for name, value in values.items() if value is not None})
    return sections


def _checked_config(model: str, sections: Settings) -> Config:
    """The config. A mistake in it is an error before TensorFlow is imported."""
    config = make_config(model, sections)
    spec(config.model).check_hparams(config.hparams)
    return config


def _run_json(run: Run) -> dict[str, object]:
    folder = str(run.folder) if run.folder else None
    return {"run": folder, "epochs": len(run.history), "notes": run.dataset.notes, "metrics": run.metrics}


def _print_run(run: Run) -> None:
    for note in run.dataset.notes:
        print(printable(f"  {note}"))
    for evaluation in run.metrics.values():
        print_evaluation(evaluation, run)
    print(f"Saved to {run.folder}" if run.folder else "Worker 0 saves the run.")
    for evaluation in run.metrics.values():
        print_margin(evaluation)
