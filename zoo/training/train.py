"""From the name of an architecture and of a dataset to a run."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import keras
import pandas as pd

from zoo.cold_start.waiting import check_catalogue, with_waiting_items
from zoo.config import Config, DataConfig, make_config, said
from zoo.data import load_dataset
from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError
from zoo.evaluation.evaluation import Margin
from zoo.families import Recommender
from zoo.files import check_free, published_folder, read_json
from zoo.locks import locked
from zoo.objectives import check_streamable, streamable_objectives
from zoo.options import options_of
from zoo.registry import spec, specs
from zoo.run import MANIFEST, Run
from zoo.saving import read_dataset
from zoo.training.checkpoints import can_be_taken_up, has_checkpoint, write_prepared
from zoo.training.derived import with_derived_history
from zoo.training.distribution import PLACE, from_chief, is_chief, losing_workers, make_strategy
from zoo.training.fitting import LOGS, Fitting
from zoo.yaml_reader import read_yaml

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
    run = make_run(
        model, source, out=out, overwrite=overwrite, resume=resume, progress=progress, callbacks=callbacks, **settings
    )
    for evaluation in run.metrics.values() if progress and is_chief() else ():
        if margin := Margin.of(evaluation):
            print(margin)
    return run


def make_run(
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
    """The run that `train` gives, without a line about it in the end. Arguments and errors are those of `train`."""
    config, given = make_config(model, settings), said(model, settings)
    spec(config.model).check_hparams(config.hparams)
    if isinstance(source, str | Path):
        config.data.source = str(source)
    elif isinstance(source, Dataset) and _prepare_data(settings):
        raise UserError(
            "The settings 'data' and 'split' have no effect on a dataset that is prepared already, except split.refit. "
            "Leave them out."
        )
    with make_strategy(config).scope(), losing_workers():
        if out is None or not is_chief():
            return _run(config, given, _dataset(config, given, source), None, progress and is_chief(), callbacks)
        with locked(Path(out)) as folder:
            check_free(folder, overwrite, MANIFEST)
            unfinished = folder.with_name(f".{folder.name}-unfinished")
            with _kept_if_resumable(unfinished, overwrite):
                dataset = _dataset_of_folder(config, given, source, unfinished, resume, overwrite)
                run = _run(config, given, dataset, unfinished, progress, callbacks)
                # Not from the unfinished folder itself: what was trained is not lost if the disk is full.
                with published_folder(folder, overwrite, MANIFEST) as made:
                    if (unfinished / LOGS).exists():
                        shutil.copytree(unfinished / LOGS, made / LOGS)
                    run.write(made)
                shutil.rmtree(unfinished, ignore_errors=True)
        run.folder = Path(out)
        return run


def _prepare_data(settings: Mapping[str, object]) -> bool:
    """Whether settings are about the preparation of data, as all of `data` and `split` are except `split.refit`."""
    split = settings.get("split")
    only_refits = isinstance(split, Mapping) and set(split) == {"refit"}
    return "data" in settings or ("split" in settings and not only_refits)


def _says_max_history(source: Source) -> bool:
    """Whether a YAML file of data says how long histories are."""
    is_yaml = isinstance(source, str | Path) and str(source).endswith((".yaml", ".yml"))
    return is_yaml and "max_history" in read_yaml(Path(str(source)))


@contextlib.contextmanager
def _kept_if_resumable(unfinished: Path, overwrite: bool) -> Iterator[None]:
    """Removes the folder that a run made if it failed before there was anything to resume."""
    is_of_another_run = unfinished.exists() and not overwrite
    try:
        yield
    except BaseException:
        if not is_of_another_run and not has_checkpoint(unfinished):
            shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _dataset(config: Config, given: Collection[str], source: Source | None, scratch: Path | None = None) -> Dataset:
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
        options = config.data.model_dump(exclude={"source", "options", "catalogue"}, exclude_unset=True)
        if config.split.name:
            options["split"] = {"name": config.split.name, **config.split.options}
        elif config.split.options:
            raise UserError(
                "split.options are given without split.name, so they have no effect. "
                "Give split.name too, or leave them out."
            )
        _check_own_settings(config)
        dataset = load_dataset(source, scratch=scratch, **options, **config.data.options)
        is_said = "data.max_history" in given or _says_max_history(source)
        if "history" in spec(config.model).query and not is_said and config.data.max_history is not None:
            dataset = with_derived_history(dataset)
    if isinstance(dataset, StreamedDataset):
        _check_streamable(config)
    known = spec(config.model)
    if known.ordered and not dataset.is_ordered:
        raise UserError(
            f"{config.model!r} learns from the order of events, but {dataset.name} has no timestamps. "
            "Add a timestamp column, or choose an architecture that needs no order, e.g. autoencoder."
        )
    return dataset


def _check_own_settings(config: Config) -> None:
    """Raises a `UserError` if an option of the data is given that is a setting."""
    places = {name: f"data.{name}" for name in DataConfig.model_fields} | {"split": "split.name", "scratch": "--out"}
    source = config.data.source or ""
    own = options_of(DATASETS[source].load) if source in DATASETS else {}
    for name in config.data.options:
        if name in places and name not in own:
            raise UserError(f"data.options has {name!r}, which is no option of a dataset. Give {places[name]} instead.")


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
    config: Config, given: Collection[str], source: Source | None, unfinished: Path, resume: bool, overwrite: bool
) -> Dataset:
    """Prepares the data and an unfinished folder, or takes up the folder of an interrupted run."""
    described = config.model_dump(mode="json", exclude=PLACE)
    if resume and can_be_taken_up(unfinished):
        if read_json(unfinished / "config.json", "run that was interrupted") != described:
            raise UserError(f"{unfinished}: the interrupted run has other settings. Repeat them, or --overwrite it.")
        return read_dataset(unfinished / "data")
    if unfinished.exists() and not (resume or overwrite):
        raise UserError(f"{unfinished}: an interrupted run. Pass --resume to finish it or --overwrite to drop it.")
    dataset = _dataset(config, given, source, unfinished.parent)
    if unfinished.exists():
        shutil.rmtree(unfinished)
    (unfinished / "data").mkdir(parents=True)
    dataset = dataset.save_for_training(unfinished / "data")
    (unfinished / "config.json").write_text(json.dumps(described), encoding="utf-8")
    write_prepared(unfinished)
    return dataset


def _run(
    config: Config,
    given: Collection[str],
    dataset: Dataset,
    folder: Path | None,
    progress: bool,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Run:
    def start(model: Recommender, dataset: Dataset) -> None:
        if dataset.waiting is not None:
            check_catalogue(config.data.catalogue, model)
        _start_from_pretrained(config, model, dataset)

    model, dataset, history = Fitting(config, given, start, folder, progress, callbacks).fit(dataset)
    model, dataset = with_waiting_items(config.data.catalogue, model, dataset)
    run = Run(model, dataset, config, history)
    if is_chief() and not dataset.part("test").empty:
        run.evaluate()
    run.metrics = from_chief(run.metrics)
    return run


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
