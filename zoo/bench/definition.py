"""Benchmark files, read and checked, and the jobs that they ask for."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from zoo.config import Config, configs_folder, make_config, parse_settings
from zoo.data.splits import split_options
from zoo.errors import UserError, unknown_name
from zoo.evaluation.protocols import PROTOCOLS, metric_names
from zoo.options import Option, check_options, explain
from zoo.registry import spec
from zoo.yaml_reader import read_yaml

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Section):
    """One model of a benchmark."""

    model: str = Field(description="A registered architecture.")
    hparams: dict[str, object] = Field(default_factory=dict, description="Its hparams.")
    train: dict[str, object] = Field(default_factory=dict, description="Its section `train` of the config.")
    data: dict[str, object] = Field(
        default_factory=dict,
        description="Settings of its data, in addition to those of the benchmark or in their place.",
    )
    seeds: tuple[Seed, ...] | None = Field(None, min_length=1, description="Seeds in place of the benchmark's.")
    pretrained: dict[str, Label] = Field(
        default_factory=dict, description="Architecture to the label whose run of the same seed gives it its weights."
    )
    targets: dict[str, float] = Field(default_factory=dict, description="Metric to the figure to reach.")
    source: str = Field("", description="Where the targets are from.")
    margins: dict[Label, dict[str, Finite]] = Field(
        default_factory=dict, description="Other label to metric to the least gain above it, asked the same."
    )


class Benchmark(_Section):
    """A benchmark: data, split, evaluation, and the models that are compared on them."""

    about: str = Field(description="One line for people.")
    data: dict[str, object] = Field(description="The section `data` of the config.")
    split: dict[str, object] = Field(default_factory=dict, description="The section `split` of the config.")
    evaluate: dict[str, object] = Field(default_factory=dict, description="The section `evaluate` of the config.")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="Seeds of training and of splits at random.")
    vary: dict[str, Annotated[tuple[object, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="Dotted setting to the values it takes in turn, e.g. the folds of a split."
    )
    quick: tuple[Label, ...] = Field((), description="The labels that `--quick` runs.")
    models: dict[Label, Entry] = Field(min_length=1, description="The models by label.")


@dataclasses.dataclass(frozen=True)
class Job:
    """One model with one seed and one value of every varied setting, which one process trains and evaluates.

    Args:
        label: The label of the model.
        variant: The varied settings, e.g. `"data.options.fold=1"`; empty where nothing varies.
        seed: The seed.
        config: All settings except the weights to start from.
        digest: The SHA-256 of all settings, the preset's and those of pretrained models included.
        pretrained: Architecture to the job that its weights come from.
        is_compared: Whether a margin is about its label, so that its score of each interaction is kept.
    """

    label: str
    variant: str
    seed: int
    config: Config
    digest: str
    pretrained: dict[str, Job]
    is_compared: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """The columns that tell its rows of the results from those of other jobs."""
        return self.label, self.variant, str(self.seed)

    @property
    def folder(self) -> str:
        """The name of its run's folder, which changes with every setting."""
        return f"{self.label}-seed{self.seed}-{self.digest[:12]}"

    def __str__(self) -> str:
        return " ".join(part for part in (self.label, self.variant, f"seed {self.seed}") if part)


def list_benchmarks() -> list[str]:
    """The names of the benchmarks that come with the package."""
    return sorted(path.stem for path in (configs_folder() / "bench").glob("*.yaml"))


def read_benchmark(name: str) -> tuple[str, Benchmark]:
    """Reads and checks a benchmark.

    Args:
        name: One of `list_benchmarks()`, or the path of a YAML file of the same form.

    Returns:
        Its name, and what it says.

    Raises:
        UserError: If there is no such benchmark, or anything in it is unknown or of the wrong kind; the
            message names the file and the place in it.

    Example:

    >>> name, benchmark = read_benchmark("synthetic")
    >>> benchmark.quick
    ('popularity',)
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    elif name in list_benchmarks():
        path = configs_folder() / "bench" / f"{name}.yaml"
    else:
        raise UserError(
            f"{unknown_name('benchmark', name, list_benchmarks())} "
            f"There are: {', '.join(list_benchmarks())}. The path of a YAML file works as well."
        )
    said = read_yaml(path)
    try:
        return path.stem, _checked(said)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def jobs(benchmark: Benchmark, only: Iterable[str] = (), quick: bool = False) -> list[Job]:
    """The jobs of a benchmark, each after those that it takes weights from.

    Args:
        benchmark: The benchmark.
        only: The labels to run, by default all. The labels that they take weights from are run too.
        quick: Whether only the labels under `quick` are run, with the first seed and the first of what varies.

    Returns:
        The jobs in the order they are to be run in.

    Raises:
        UserError: If a label is unknown, or the benchmark has nothing under `quick`.
    """
    made: dict[tuple[str, str, str], Job] = {}
    first = 1 if quick else None
    for label in _chosen(benchmark, list(only), quick):
        for variant in _variants(benchmark)[:first]:
            for seed in _seeds(benchmark, label)[:first]:
                _add_job(made, benchmark, label, variant, seed)
    return list(made.values())


def _chosen(benchmark: Benchmark, only: Sequence[str], quick: bool) -> Iterable[str]:
    """The labels to run."""
    _check_labels(benchmark, only, "label")
    if only:
        return only
    if not quick:
        return benchmark.models
    if not benchmark.quick:
        raise UserError("This benchmark has no labels under 'quick'. Choose some with --only.")
    return benchmark.quick


def _check_labels(benchmark: Benchmark, labels: Iterable[str], what: str) -> None:
    for label in labels:
        if label not in benchmark.models:
            raise unknown_name(what, label, benchmark.models)


def _seeds(benchmark: Benchmark, label: str) -> tuple[int, ...]:
    return benchmark.models[label].seeds or benchmark.seeds


def _add_job(
    made: dict[tuple[str, str, str], Job], benchmark: Benchmark, label: str, variant: Mapping[str, object], seed: int
) -> Job:
    words = " ".join(f"{key}={value}" for key, value in variant.items())
    key = (label, words, str(seed))
    if key not in made:
        others = benchmark.models[label].pretrained
        pretrained = {name: _add_job(made, benchmark, other, variant, seed) for name, other in others.items()}
        config = _config(benchmark, label, variant, seed)
        digest, is_compared = _digest(config, pretrained), label in _compared(benchmark)
        made[key] = Job(label, words, seed, config, digest, pretrained, is_compared)
    return made[key]


def _compared(benchmark: Benchmark) -> set[str]:
    """The labels that a margin is about."""
    entries = benchmark.models.items()
    return {one for label, entry in entries if entry.margins for one in (label, *entry.margins)}


def _config(benchmark: Benchmark, label: str, variant: Mapping[str, object], seed: int) -> Config:
    entry = benchmark.models[label]
    shared = {"data": benchmark.data, "split": benchmark.split, "evaluate": benchmark.evaluate}
    own = {"hparams": entry.hparams, "data": entry.data, "train": {**entry.train, "seed": seed}}
    varied = parse_settings([f"{key}={json.dumps(value)}" for key, value in variant.items()])
    config = make_config(entry.model, shared, own, varied)
    if config.split.name and "seed" in split_options(config.split.name):
        config.split.options["seed"] = seed
    return config


def _digest(config: Config, pretrained: Mapping[str, Job]) -> str:
    # Settings at their default are left out, so that a new setting does not make old figures void.
    described = config.model_dump(mode="json", exclude_defaults=True)
    described["pretrained"] = {name: job.digest for name, job in pretrained.items()}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _variants(benchmark: Benchmark) -> list[dict[str, object]]:
    values = itertools.product(*benchmark.vary.values())
    return [dict(zip(benchmark.vary, chosen, strict=True)) for chosen in values]


def _checked(said: dict[str, object]) -> Benchmark:
    benchmark = _parsed(said)
    _check_labels(benchmark, benchmark.quick, "label in 'quick'")
    for key in benchmark.vary:
        if "." not in key:
            raise UserError(f"'vary': {key!r} is no dotted setting. Give one such as data.options.fold.")
    if "source" not in benchmark.data:
        raise UserError("'data': lacks the key 'source', a named dataset or a file.")
    for label in benchmark.models:
        try:
            _check_entry(benchmark, label)
        except UserError as error:
            raise UserError(f"models.{label}: {error}") from error
    return benchmark


def _parsed(said: dict[str, object]) -> Benchmark:
    """The benchmark whose every key is known and every value is of the right type."""
    _check_keys(said, Benchmark, "")
    models = said.get("models")
    for label, entry in models.items() if isinstance(models, Mapping) else ():
        _check_keys(entry, Entry, f"models.{label}")
    try:
        return Benchmark.model_validate(said)
    except ValidationError as error:
        place, wrong, wanted = explain(error, said)
        raise UserError(f"{wrong!r} is not valid: {place.removeprefix('.')!r}. Expected: {wanted}.") from error


def _check_keys(said: object, section: type[BaseModel], where: str) -> None:
    if not isinstance(said, Mapping):
        raise UserError(f"{said!r} is not keys and values: {where!r}. Give keys of: {', '.join(section.model_fields)}.")
    # The values are checked by the section, all together.
    options = {name: Option(object, None) for name in section.model_fields}
    check_options(said, options, kind="key", of=repr(where) if where else "")


def _check_entry(benchmark: Benchmark, label: str) -> None:
    entry = benchmark.models[label]
    spec(entry.model).check_hparams(entry.hparams)
    _check_pretrained(benchmark, label, ())
    config, *_ = [_config(benchmark, label, variant, seed=0) for variant in _variants(benchmark)]
    known = _metrics_of(config)
    _check_metrics(entry.targets, known, "'targets'")
    if entry.targets and not entry.source:
        raise UserError("has targets and no 'source'. Say in it where they are from.")
    if entry.margins:
        _check_protocol_of_margins(config)
    for other, least in entry.margins.items():
        _check_comparable(benchmark, label, other)
        _check_metrics(least, known, f"'margins.{other}'")


def _metrics_of(config: Config) -> list[str]:
    """The metrics that an evaluation by the settings may give."""
    protocols = [config.evaluate.protocol] if config.evaluate.protocol else list(PROTOCOLS)
    return list(dict.fromkeys(name for one in protocols for name in metric_names(one, config.evaluate.ks)))


def _check_metrics(metrics: Iterable[str], known: Sequence[str], where: str) -> None:
    for metric in metrics:
        if metric not in known:
            raise unknown_name(f"metric in {where}", metric, known)


def _check_protocol_of_margins(config: Config) -> None:
    if config.evaluate.protocol is None:
        raise UserError(
            f"'margins' need an evaluate.protocol, so that all models are asked the same. Give one of: "
            f"{', '.join(PROTOCOLS)}. Received: None."
        )


def _check_comparable(benchmark: Benchmark, label: str, other: str) -> None:
    """Refuses a margin between labels that have no runs on the same interactions."""
    _check_labels(benchmark, [other], "label in 'margins'")
    if other == label:
        raise UserError(f"'margins' compares {label!r} with itself.")
    source, other_source = (_source(benchmark, one) for one in (label, other))
    if source != other_source:
        raise UserError(f"'margins' compares with {other!r}, whose data is {other_source!r} and not {source!r}.")
    seeds, other_seeds = (_seeds(benchmark, one) for one in (label, other))
    if not set(seeds) & set(other_seeds):
        raise UserError(f"'margins' compares with {other!r}, which has no seed in common: {seeds} and {other_seeds}.")


def _source(benchmark: Benchmark, label: str) -> object:
    return {**benchmark.data, **benchmark.models[label].data}["source"]


def _check_pretrained(benchmark: Benchmark, label: str, before: tuple[str, ...]) -> None:
    if label in before:
        raise UserError(f"'pretrained' goes in a circle: {' -> '.join((*before, label))}.")
    for name, other in benchmark.models[label].pretrained.items():
        if other not in benchmark.models:
            raise unknown_name("label in 'pretrained'", other, benchmark.models)
        if benchmark.models[other].model != name:
            raise UserError(
                f"'pretrained' wants {name!r}, and {other!r} is {benchmark.models[other].model!r}. "
                f"Name a label of {name!r}."
            )
        _check_pretrained(benchmark, other, (*before, label))
