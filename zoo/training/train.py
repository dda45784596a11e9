"""From the name of an architecture and of a dataset to a run."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import pandas as pd
import scipy.sparse

from zoo.config import Config, make_config
from zoo.data import load_dataset
from zoo.data.dataset import Dataset, Part
from zoo.data.prompt_texts import prompt_texts
from zoo.data.streamed import FOLDER, StreamedDataset
from zoo.errors import UserError, unknown_name
from zoo.evaluation.metrics import LOSS
from zoo.evaluation.protocols import PROTOCOLS, Protocol, default_protocol
from zoo.families import Recommender
from zoo.files import check_free, parent_folder, publish, read_json
from zoo.objectives import check_streamable, make_objective, streamable_objectives
from zoo.registry import build, spec, specs
from zoo.run import MANIFEST, Run
from zoo.saving import read_dataset
from zoo.training.distribution import PLACE, from_chief, is_chief, losing_workers, make_strategy
from zoo.training.loop import CHECKPOINT, Trainer
from zoo.training.progress import ProgressBar

# Interactions: prepared, a frame, or where they are.
Source: TypeAlias = Dataset | pd.DataFrame | str | Path


def train(
    model: str,
    source: Source | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: object,
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
        UserError: If anything is wrong in the names, settings or data. Nothing is written then.

    Example:

    ```python
    run = train("ncf", "movielens-sample", train={"epochs": 3}, hparams={"embedding_dim": 16})
    ```
    """
    config = make_config(model, settings)
    spec(config.model).check_hparams(config.hparams)
    if isinstance(source, str | Path):
        config.data.source = str(source)
    elif isinstance(source, Dataset) and ("data" in settings or "split" in settings):
        raise UserError(
            "The settings 'data' and 'split' have no effect on a dataset that is prepared already. Leave them out."
        )
    with make_strategy(config).scope(), losing_workers():
        if out is None or not is_chief():
            return _train(config, _dataset(config, source), None, progress and is_chief(), callbacks)
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


def _dataset(config: Config, source: Source | None, scratch: Path | None = None) -> Dataset:
    """The prepared data. Streamed data are written into a new folder in `scratch`."""
    if config.data.stream:
        _check_streamable(config)
    if isinstance(source, Dataset):
        dataset = source
    else:
        source = config.data.source if source is None else source
        if source is None:
            raise UserError(
                "No data is given: setting 'data.source'. Name a dataset or a file, e.g. --data movielens-sample."
            )
        options = config.data.model_dump(exclude={"source", "options"}, exclude_unset=True)
        if config.split.name:
            options["split"] = {"name": config.split.name, **config.split.options}
        elif config.split.options:
            raise UserError(
                "split.options are given without split.name, so they have no effect. "
                "Give split.name too, or leave them out."
            )
        dataset = load_dataset(source, scratch=scratch, **options, **config.data.options)
    if isinstance(dataset, StreamedDataset):
        _check_streamable(config)
    known = spec(config.model)
    if known.ordered and not dataset.is_ordered:
        raise UserError(
            f"{config.model!r} learns from the order of events, but {dataset.name} has no timestamps. "
            "Add a timestamp column, or choose an architecture that needs no order, e.g. autoencoder."
        )
    return dataset


def _check_streamable(config: Config) -> None:
    """Raises a `UserError` unless the architecture and its objective train on single interactions."""
    known = spec(config.model)
    if "history" in known.query or known.objective not in streamable_objectives():
        others = [one for one in specs().values() if "history" not in one.query]
        can = [one.name for one in others if one.objective in streamable_objectives()]
        why = "reads histories" if "history" in known.query else "needs all interactions at once"
        raise UserError(
            f"{config.model!r} {why}, which streamed data cannot give. These train on it: {', '.join(can)}."
        )
    check_streamable(config.train.objective or known.objective)


def _dataset_of_folder(
    config: Config, source: Source | None, unfinished: Path, resume: bool, overwrite: bool
) -> Dataset:
    """Prepares the data and an unfinished folder, or takes up the folder of an interrupted run."""
    described = config.model_dump(mode="json", exclude=PLACE)
    # This file is written last. Without it there is nothing to take up.
    if (unfinished / "config.json").exists() and resume:
        if read_json(unfinished / "config.json", "run that was interrupted") != described:
            raise UserError(f"{unfinished}: the interrupted run has other settings. Repeat them, or --overwrite it.")
        return read_dataset(unfinished / "data")
    if unfinished.exists() and not (resume or overwrite):
        raise UserError(f"{unfinished}: an interrupted run. Pass --resume to finish it or --overwrite to drop it.")
    dataset = _dataset(config, source, unfinished.parent)
    if unfinished.exists():
        shutil.rmtree(unfinished)
    (unfinished / "data").mkdir(parents=True)
    dataset = dataset.save_for_training(unfinished / "data")
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
    model = _build(config, dataset, config.train.dtype_policy)
    model.adapt(
        items=dataset.items,
        interactions=lambda: interaction_matrix(dataset),
        ratings=lambda: rating_matrix(dataset),
        texts=lambda: prompt_texts(dataset),
    )
    _check_ks(config, model, dataset)
    if model.solver is not None:
        if config.train.objective or config.train.options:
            raise UserError(
                f"{config.model!r} is solved in closed form, so train.objective and train.options have no effect. "
                "Leave them out."
            )
        started = time.perf_counter()
        model.solver(interaction_matrix(dataset, positive_only=False))
        history: list[dict[str, float]] = [{"seconds": time.perf_counter() - started}]
    else:
        _start_from_pretrained(config, model, dataset)
        history = _fit(config, model, dataset, folder, progress, callbacks)
    if config.train.dtype_policy != "float32":
        # The model that is evaluated, saved and exported computes in float32, as a caller expects.
        exact = _build(config, dataset, "float32")
        exact.set_weights(model.get_weights())
        model = exact
    run = Run(model, dataset, config, history)
    if is_chief() and not dataset.part("test").empty:
        run.evaluate()
    run.metrics = from_chief(run.metrics)
    if folder:
        # These were for taking up an interrupted run.
        (folder / CHECKPOINT).unlink(missing_ok=True)
        shutil.rmtree(folder / "data" / FOLDER, ignore_errors=True)
        run.write(folder)
    return run


def _build(config: Config, dataset: Dataset, dtype_policy: str) -> Recommender:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy)
    try:
        return build(config.model, dataset.schema, **config.hparams)
    finally:
        keras.config.set_dtype_policy(before)


def _start_from_pretrained(config: Config, model: Recommender, dataset: Dataset) -> None:
    """Sets the weights from those of other runs, as an architecture does that is put together from several."""
    if not config.train.pretrained:
        return
    if model.pretrained is None:
        raise UserError(
            f"{config.model!r} does not start from other runs, so train.pretrained has no effect. Leave it out."
        )
    models = {}
    for name, folder in config.train.pretrained.items():
        run = Run.load(folder)
        if run.config.model != name:
            raise UserError(
                f"train.pretrained: {folder} is a run of {run.config.model!r}, not of {name!r}. Name another folder."
            )
        for kind in ("user", "item"):
            if run.dataset.vocabularies[kind].to_json() != dataset.vocabularies[kind].to_json():
                raise UserError(
                    f"train.pretrained: {folder} was trained on other {kind} ids than {dataset.name}. "
                    "Use the same data."
                )
        models[name] = run.model
    model.pretrained(models)


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
    """A function that gives the validation metrics, and the name of the one to watch."""
    # Otherwise a fault of the test part would show only after training.
    for part in ("valid", "test"):
        _check_fit(_protocol(config, model, dataset, part), model, dataset, part)
    is_validated = not dataset.part("valid").empty
    protocol, ks = _protocol(config, model, dataset, "valid"), config.evaluate.ks
    names = [LOSS, *(protocol.validation_names(ks) if is_validated else ())]
    monitor = config.train.monitor or (protocol.monitored_name(ks) if is_validated else LOSS)
    if monitor not in names:
        raise unknown_name("metric in train.monitor", monitor, names)
    return (lambda: protocol.validate(model, dataset, ks)) if is_validated else dict, monitor


def _check_ks(config: Config, model: Recommender, dataset: Dataset) -> None:
    reason = _protocol(config, model, dataset, "test").misfit_of_ks(dataset, config.evaluate.ks)
    if reason is not None:
        raise UserError(reason)


def _protocol(config: Config, model: Recommender, dataset: Dataset, part: Part) -> Protocol:
    return PROTOCOLS[config.evaluate.protocol or default_protocol(model, config, dataset, part)]


def _check_fit(protocol: Protocol, model: Recommender, dataset: Dataset, part: Part) -> None:
    reason = None if dataset.part(part).empty else protocol.misfit(model, dataset, part)
    if reason is not None:
        raise UserError(reason)


def interaction_matrix(dataset: Dataset, positive_only: bool = True) -> scipy.sparse.csr_matrix:
    """The training labels as a sparse `[num_users, num_items]` matrix.

    Args:
        dataset: The prepared data.
        positive_only: Whether to leave out labels of 0 and below. Otherwise zeros are stored too.
    """
    rows = dataset.part("train")
    if positive_only:
        rows = rows[rows["label"] > 0]
    places = (rows["user"].to_numpy(), rows["item"].to_numpy())
    shape = (dataset.num_users, dataset.num_items)
    return scipy.sparse.csr_matrix((rows["label"].to_numpy(np.float32), places), shape=shape)


def rating_matrix(dataset: Dataset) -> scipy.sparse.csr_matrix:
    """The training labels as they are, a user's last one of an item, as a sparse `[num_users, num_items]` matrix."""
    rows = dataset.part("train").drop_duplicates(["user", "item"], keep="last")
    places = (rows["user"].to_numpy(), rows["item"].to_numpy())
    shape = (dataset.num_users, dataset.num_items)
    return scipy.sparse.csr_matrix((rows["label"].to_numpy(np.float32), places), shape=shape)
