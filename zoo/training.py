"""From the name of an architecture and of a dataset to a run."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import scipy.sparse

from zoo.config import Config, make_config
from zoo.data import load_dataset
from zoo.data.dataset import Dataset
from zoo.errors import UserError, unknown_name
from zoo.evaluation.metrics import label_metrics, rating_metrics
from zoo.evaluation.protocols import metric_names, per_user_ranking, score_rows
from zoo.files import check_free, parent_folder, publish, read_json
from zoo.objectives import make_objective
from zoo.progress import ProgressBar
from zoo.recommender import Recommender
from zoo.registry import build, spec
from zoo.run import MANIFEST, Run, default_protocol
from zoo.trainer import CHECKPOINT, Trainer

# Metric watched on the validation part, by protocol.
MONITORED = {"full-ranking": "ndcg@{k}", "ratings": "rmse", "labels": "auc"}


def train(
    model: str,
    source: Dataset | pd.DataFrame | str | Path | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Trains an architecture, evaluates it on the test part and gives the run.

    Args:
        model: A registered name, or a YAML file with a key `model`.
        source: A named dataset, a file, a frame of interactions or a prepared `Dataset`. By default the
            `data.source` of the settings.
        out: A folder for the run. Without one the run stays in memory (see `Run.save`) and there are
            no checkpoints and no TensorBoard logs.
        overwrite: Whether a folder that is there may be replaced.
        resume: Whether to take up an interrupted run to the same folder. It ends with the weights that
            the uninterrupted run would have had.
        progress: Whether to show a progress bar.
        callbacks: Further Keras callbacks.
        **settings: Sections of the config: `hparams`, `data`, `split`, `train`, `evaluate`, each a
            mapping, e.g. `train={"epochs": 3}`.

    Returns:
        A `Run`.

    Raises:
        UserError: For anything wrong in the names, settings or data. Nothing is written then.

    Example:

    >>> run = train("ncf", "movielens-sample", train={"epochs": 3}, hparams={"embedding_dim": 16})
    """
    config = make_config(model, settings)
    spec(config.model).check_hparams(config.hparams)
    if isinstance(source, str | Path):
        config.data.source = str(source)
    elif isinstance(source, Dataset) and ("data" in settings or "split" in settings):
        raise UserError("The settings 'data' and 'split' have no effect on a dataset that is prepared already.")
    if out is None:
        dataset = _dataset(config, source)
        return _train(config, dataset, None, progress, callbacks)
    folder = Path(out)
    check_free(folder, overwrite, MANIFEST)
    unfinished = folder.with_name(f".{folder.name}-unfinished")
    with parent_folder(folder), _kept_if_resumable(unfinished, overwrite):
        dataset = _dataset_of_folder(config, source, unfinished, resume, overwrite)
        run = _train(config, dataset, unfinished, progress, callbacks)
        publish(unfinished, folder)
    run.folder = folder
    return run


@contextlib.contextmanager
def _kept_if_resumable(unfinished: Path, overwrite: bool) -> Iterator[None]:
    """Removes the folder that a run made if it failed before there was anything to resume."""
    is_of_another_run = unfinished.exists() and not overwrite
    try:
        yield
    except BaseException:
        if not is_of_another_run and not (unfinished / CHECKPOINT).exists():
            shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _dataset(config: Config, source: Any) -> Dataset:
    if isinstance(source, Dataset):
        dataset = source
    else:
        source = config.data.source if source is None else source
        if source is None:
            raise UserError("No data was given. Name a dataset or a file, e.g. --data movielens-sample.")
        options = config.data.model_dump(exclude={"source", "options"}, exclude_unset=True)
        if config.split.name:
            options["split"] = {"name": config.split.name, **config.split.options}
        elif config.split.options:
            raise UserError("split.options were given without split.name.")
        dataset = load_dataset(source, **options, **config.data.options)
    known = spec(config.model)
    if known.ordered and not dataset.is_ordered:
        raise UserError(
            f"{config.model!r} learns from the order of events, but {dataset.name} has no timestamps. "
            "Add a timestamp column, or choose an architecture that needs no order, e.g. autoencoder."
        )
    return dataset


def _dataset_of_folder(config: Config, source: Any, unfinished: Path, resume: bool, overwrite: bool) -> Dataset:
    """Prepares the data and an unfinished folder, or takes up the folder of an interrupted run."""
    described = config.model_dump(mode="json")
    if unfinished.exists() and resume:
        if read_json(unfinished / "config.json", "run that was interrupted") != described:
            raise UserError(f"{unfinished}: the interrupted run has other settings. Repeat them, or --overwrite it.")
        return Dataset.load(unfinished / "data")
    if unfinished.exists() and not overwrite:
        raise UserError(f"{unfinished}: an interrupted run. Pass --resume to finish it or --overwrite to drop it.")
    dataset = _dataset(config, source)
    if unfinished.exists():
        shutil.rmtree(unfinished)
    (unfinished / "data").mkdir(parents=True)
    dataset.save(unfinished / "data")
    (unfinished / "config.json").write_text(json.dumps(described), encoding="utf-8")
    return dataset


def _train(
    config: Config,
    dataset: Dataset,
    folder: Path | None,
    progress: bool,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Run:
    keras.utils.set_random_seed(config.train.seed)
    model = build(config.model, dataset.schema, **config.hparams)
    model.set_catalogue(dataset.items)
    _check_ks(config, dataset)
    if model.closed_form is not None:
        if config.train.objective or config.train.options:
            raise UserError(f"{config.model!r} is solved in closed form; it takes no train.objective or train.options.")
        model.closed_form(interaction_matrix(dataset))
        history: list[dict[str, float]] = []
    else:
        history = _fit(config, model, dataset, folder, progress, callbacks)
    run = Run(model, dataset, config, history)
    if not dataset.part("test").empty:
        run.evaluate()
    if folder:
        (folder / CHECKPOINT).unlink(missing_ok=True)
        run.write(folder)
    return run


def _fit(
    config: Config,
    model: Recommender,
    dataset: Dataset,
    folder: Path | None,
    progress: bool,
    callbacks: Sequence[keras.callbacks.Callback],
) -> list[dict[str, float]]:
    name = config.train.objective or spec(config.model).objective
    objective = make_objective(name, model, dataset, config.train.options)
    validate, monitor = _validation(config, model, dataset)
    shown = [*callbacks]
    if progress:
        shown.append(ProgressBar(config.model, monitor))
    if folder:
        shown.append(keras.callbacks.TensorBoard(folder / "logs", write_graph=False))
    trainer = Trainer(model, objective, config.train, validate, monitor, folder, shown)
    trainer.resume()
    return trainer.fit().history


def _validation(config: Config, model: Recommender, dataset: Dataset) -> tuple[Callable[[], dict[str, float]], str]:
    """What gives the validation metrics, and the one to watch."""
    protocol = config.evaluate.protocol or default_protocol(config, dataset)
    rows = dataset.part("valid")
    names = ["loss"] if rows.empty else ["loss", *metric_names(protocol, config.evaluate.ks)]
    usual = "loss" if rows.empty else MONITORED[protocol].format(k=config.evaluate.ks[0])
    monitor = config.train.monitor or usual
    if monitor not in names:
        raise unknown_name("metric in train.monitor", monitor, names)
    if rows.empty:
        return dict, monitor

    def ranking() -> dict[str, float]:
        _, per_user = per_user_ranking(model, dataset, "valid", config.evaluate.ks)
        return {name: float(values.mean()) for name, values in per_user.items()}

    def by_row() -> dict[str, float]:
        metrics = label_metrics if protocol == "labels" else rating_metrics
        return metrics(rows["label"].to_numpy(), score_rows(model, dataset, rows, "valid"))

    return (ranking if protocol == "full-ranking" else by_row), monitor


def _check_ks(config: Config, dataset: Dataset) -> None:
    known = len(dataset.vocabularies["item"])
    if max(config.evaluate.ks) > known:
        raise UserError(
            f"evaluate.ks has {max(config.evaluate.ks)}, but the catalogue has {known} items. "
            f"Choose a smaller one, e.g. --set evaluate.ks=[{min(known, 5)}]."
        )


def interaction_matrix(dataset: Dataset) -> scipy.sparse.csr_matrix:
    """The training labels above 0 as a sparse `[num_users, num_items]` matrix."""
    rows = dataset.part("train")
    rows = rows[rows["label"] > 0]
    places = (rows["user"].to_numpy(), rows["item"].to_numpy())
    shape = (dataset.num_users, dataset.num_items)
    return scipy.sparse.csr_matrix((rows["label"].to_numpy(np.float32), places), shape=shape)
