"""The settings of a run: defaults, then a preset or a YAML file, then the command line. Unknown keys are errors."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.errors import UserError, unknown_name
from zoo.options import LARGEST, explain, find_not_finite, plain, short
from zoo.yaml_reader import parse_yaml, read_yaml

# Settings by name, which may be nested.
Settings: TypeAlias = dict[str, Any]

# Former names of settings.
RENAMED = {
    "train": {
        "clip_norm": "global_clipnorm",
        "precision": "dtype_policy",
        "steps_per_call": "steps_per_execution",
        "xla": "jit_compile",
    }
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, strict=True, allow_inf_nan=False)


_AnySection = TypeVar("_AnySection", bound=_Section)


class DataConfig(_Section):
    """The place of the data and how it is prepared, see `zoo.data.preparation`."""

    source: str | None = Field(None, description="A named dataset, a table (a file or a URL) or a YAML file.")
    data_root: str | None = Field(None, description="Folder of the original files of a named dataset.")
    users: str | Settings | None = Field(None, description="File with one row for each user, or how to read it.")
    items: str | Settings | None = Field(None, description="File with one row for each item, or how to read it.")
    separator: str | None = Field(None, description="Separator of the interactions' text file; null finds it out.")
    encoding: str | None = Field(None, description="Encoding of the interactions' text file; null finds it out.")
    header: bool | None = Field(None, description="Whether its first row names the columns; null finds it out.")
    table: str | None = Field(None, description="Table of a database, or sheet of a workbook, with the interactions.")
    columns: dict[str, str] | None = Field(
        None, description="Columns by name, and what each is: user, item, rating, ...; null guesses it."
    )
    features: dict[str, str | Settings] | None = Field(
        None, description="Kinds of columns, where the guess is wrong; at_request: true where a server knows the value."
    )
    max_history: int | None = Field(
        200, ge=1, le=LARGEST, description="Longest history of a query, in interactions; null keeps all of it."
    )
    missing_ids: list[str] | None = Field(
        None, description="Texts that are no ids; null: blanks, and in text files NULL, NA, None and nan too."
    )
    catalogue: Literal["all", "interactions"] | None = Field(
        None, description="Items: all with a row, or those with interactions; null: all if the model reads features."
    )
    duplicates: Literal["last", "first", "sum", "keep"] = Field(
        "last", description="Which interactions of one user with one item stay; sum adds up their labels."
    )
    event_weights: dict[str, float] | None = Field(
        None, description="Label of each kind of event where a column says it, e.g. {view: 1, purchase: 5}."
    )
    label_threshold: float | None = Field(
        None, description="Ratings above it become the label 1, others 0; null keeps the ratings."
    )
    stream: bool = Field(
        False, description="Train from Parquet or TFRecord files (or a folder of them) that do not fit in memory."
    )
    options: Settings = Field(default_factory=dict, description="Options of a named dataset.")


class SplitConfig(_Section):
    """How interactions are split, see `zoo.data.splits`."""

    name: str | None = Field(
        None,
        description="leave-last-out, random, time, users, strong-generalization or given; sample for a stream; "
        "null takes the dataset's.",
    )
    options: Settings = Field(default_factory=dict, description="Options of the split by name.")
    refit: bool = Field(
        False,
        description="Train anew on train and valid once valid has told the epoch; a closed form is solved on both.",
    )


class TrainConfig(_Section):
    """The training loop."""

    objective: str | None = Field(None, description="Name of the objective; null takes the architecture's own.")
    options: Settings = Field(default_factory=dict, description="Options of the objective by name.")
    epochs: int = Field(20, ge=1, le=LARGEST, description="Most passes over the examples.")
    batch_size: int = Field(1024, ge=1, le=LARGEST, description="Examples in a step.")
    optimizer: str = Field(
        "adam", description="adam, adagrad or sgd, which update only looked-up rows; or another Keras optimizer."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of the optimizer, the highest of the schedule.")
    epsilon: float | None = Field(
        None, gt=0, description="What adam or adagrad adds to the root that it divides by; null takes Keras' 1e-7."
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant",
        description="Course of the learning rate after the warm-up: it stays, or falls to 0 over all epochs.",
    )
    warmup_steps: int = Field(0, ge=0, le=LARGEST, description="Steps over which the learning rate rises at first.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of the weights that a step updates.")
    l2: float = Field(0.0, ge=0, description="L2 factor of the weights that a step updates, added to their gradient.")
    global_clipnorm: float | None = Field(
        None, gt=0, description="Largest norm of all gradients together; null does not clip them."
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay per step of a moving average of the weights, which is then kept; null keeps the weights.",
    )
    dtype_policy: Literal["float32", "mixed_bfloat16"] = Field(
        "float32", description="Type that layers compute in; weights and losses are always float32."
    )
    jit_compile: bool = Field(
        False, description="Compile the steps by XLA, with optimizer=sgd: faster for dot products, slower for networks."
    )
    pretrained: dict[str, str] = Field(
        default_factory=dict,
        description="Architecture to folder of its trained run, for an architecture that starts from others.",
    )
    strategy: Literal["one", "mirrored"] = Field("one", description="One device, or all GPUs of this machine.")
    workers: tuple[str, ...] = Field((), strict=False, description="host:port of every worker, the same list on each.")
    worker: int | None = Field(
        None,
        ge=0,
        le=LARGEST,
        description="Place of this process among the workers, from 0; null tells it from the host.",
    )
    worker_timeout: float = Field(60, gt=0, description="Seconds to wait for the other workers.")
    steps_per_execution: int = Field(100, ge=1, le=LARGEST, description="Steps in one call of the compiled function.")
    patience: int | None = Field(
        3, ge=1, le=LARGEST, description="Epochs without a better metric after which training stops; null never stops."
    )
    monitor: str | None = Field(
        None,
        description="Validation metric that tells the best epoch; null takes ndcg@10, rmse or auc, as fits the data.",
    )
    seed: int = Field(0, ge=0, le=LARGEST, description="Seed of everything random.")


class NegativesConfig(_Section):
    """How `sampled-ranking` draws what held-out items are ranked against, where the data lists nothing."""

    number: int = Field(100, ge=1, le=LARGEST, description="Items drawn for each user, never one that is seen.")
    by: Literal["uniform", "popularity"] = Field(
        "uniform", description="How likely an item is drawn: as any other, or as often as it is in training."
    )
    seed: int = Field(0, ge=0, le=LARGEST, description="Seed of the draw.")


class EvaluateConfig(_Section):
    """The evaluation."""

    protocol: str | None = Field(None, description="Name of the protocol; null takes the one that fits the data.")
    ks: tuple[Annotated[int, Field(ge=1, le=LARGEST)], ...] = Field(
        (10,), min_length=1, strict=False, description="Ranks at which the ranking metrics are cut."
    )
    resamples: int = Field(1000, ge=10, le=LARGEST, description="Bootstrap resamples for each confidence interval.")
    negatives: NegativesConfig = NegativesConfig()


class ExportConfig(_Section):
    """How far an artefact may be from the trained model. Nothing is published if it is further."""

    tolerance: float = Field(
        1e-5,
        gt=0,
        description="Largest difference of a float artefact's score from the model's, as a share if it is above 1.",
    )
    overlap: float = Field(
        0.9, ge=0, le=1, description="Least mean share of the model's top 10 that a quantized artefact has too."
    )
    ndcg_loss: float = Field(
        0.01, ge=0, le=1, description="Largest share of NDCG@10 on the test part that a quantized artefact may lose."
    )
    error: float = Field(
        0.1,
        ge=0,
        description="Largest root mean square of the errors of quantized scores, in standard deviations of the scores.",
    )


class Config(_Section):
    """All settings of a run."""

    model: str = Field(description="Name of the architecture.")
    hparams: Settings = Field(default_factory=dict, description="Hparams of the architecture by name.")
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()


def make_config(name: str, *layers: Mapping[str, object]) -> Config:
    """The config of an architecture: its preset, then each layer over what came before.

    Args:
        name: A registered architecture, or the path of a YAML file that has a key `model`.
        *layers: Nested mappings of settings, later ones win.

    Returns:
        A `Config`.

    Raises:
        UserError: If a file is missing or malformed, a key is unknown, or a value is of the wrong type.
    """
    if name.endswith((".yaml", ".yml")):
        own = read_yaml(Path(name))
        if not isinstance(own.get("model"), str):
            raise UserError(
                f"{name}: expected a key 'model' with the name of an architecture. Add one, e.g. model: ncf."
            )
        name, layers = own["model"], (own, *layers)
    settings: Settings = {}
    for layer in ({"model": name}, preset(name), *layers):
        _merge(settings, copy.deepcopy(dict(layer)))
    _check_keys(Config, settings, "")
    return _validated(Config, settings)


def said(name: str, *layers: Mapping[str, object]) -> frozenset[str]:
    """The settings that were given, by dotted name, so not those of a preset. Arguments are those of `make_config`."""
    own = (read_yaml(Path(name)),) if name.endswith((".yaml", ".yml")) else ()
    return frozenset(key for layer in (*own, *layers) for key, _ in flat_settings(layer) if "." in key)


def changed(section: _AnySection, settings: Mapping[str, object], path: str) -> _AnySection:
    """A section of the config with some of its settings changed.

    Args:
        section: The section.
        settings: Nested settings of it.
        path: What it is called in the config, e.g. `"evaluate"`.

    Returns:
        A section of the same kind.

    Raises:
        UserError: If a key is unknown, or a value is of the wrong type or out of range.

    Example:

    >>> changed(EvaluateConfig(), {"ks": [5], "negatives": {"number": 50}}, "evaluate").negatives.number
    50
    """
    _check_keys(type(section), settings, path)
    merged = section.model_dump()
    _merge(merged, settings)
    return _validated(type(section), merged, path)


def preset(name: str) -> Settings:
    """The settings of `configs/presets/<name>.yaml`, or none where there is no such file."""
    path = configs_folder() / "presets" / f"{name}.yaml"
    return read_yaml(path) if path.exists() else {}


def configs_folder() -> Path:
    """The folder of the presets: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    return package / "configs" if (package / "configs").exists() else package.parent / "configs"


def parse_settings(settings: Sequence[str]) -> Settings:
    """`["train.epochs=3"]` as `{"train": {"epochs": 3}}`; values are read as YAML.

    A key that is no section is an hparam: `embedding_dim=16` means `hparams.embedding_dim=16`.
    """
    nested: Settings = {}
    for setting in settings:
        parts, value = _key_and_value(setting)
        try:
            _section_of(nested, parts, setting)[parts[-1]] = parse_yaml(value)
        except yaml.YAMLError as error:
            raise UserError(
                f"The value is not valid YAML: setting {short(setting)}. Quote it, or close its brackets."
            ) from error
    return nested


def _key_and_value(setting: str) -> tuple[list[str], str]:
    key, separator, value = setting.partition("=")
    if not separator or not key:
        raise UserError(f"Expected a setting like train.epochs=3. Received: {setting!r}.")
    parts = key.strip().split(".")
    is_hparam = len(parts) == 1 and parts[0] not in Config.model_fields
    return (["hparams", *parts] if is_hparam else parts), value


def _section_of(nested: Settings, parts: Sequence[str], setting: str) -> Settings:
    """The mapping that the last part of a dotted name is a key of; it is made if it is not there."""
    for part in parts[:-1]:
        nested = nested.setdefault(part, {})
        if not isinstance(nested, dict):
            raise UserError(f"Setting {setting!r} contradicts an earlier one. Leave one of them out.")
    return nested


def flat_settings(settings: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    """Every setting by its dotted name, in order.

    Args:
        settings: Settings, which may be nested.
        path: What stands in front of every name, e.g. `"train."`.

    Yields:
        The dotted name of a setting, and its value.

    Example:

    >>> dict(flat_settings({"model": "mf", "train": {"epochs": 3}}))
    {'model': 'mf', 'train.epochs': 3}
    """
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat_settings(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _merge(settings: Settings, layer: Mapping[str, object]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(settings.get(key), dict):
            _merge(settings[key], value)
        else:
            settings[key] = value


def _validated(section: type[_AnySection], settings: Mapping[str, object], path: str = "") -> _AnySection:
    given = plain(dict(settings))
    # What stands under names that a section does not know, as hparams do, is of no type yet.
    fault = find_not_finite(given)
    try:
        validated = section.model_validate(given)
    except ValidationError as error:
        fault = explain(error, given)
    if fault:
        place, wrong, wanted = fault
        where = f"{path}{place}".removeprefix(".")
        raise UserError(f"{short(wrong)} is not {wanted}: setting {where!r}. Give {wanted}.")
    return validated


def _check_keys(section: type[BaseModel], settings: Mapping[str, object], path: str) -> None:
    for key, value in settings.items():
        if key in RENAMED.get(path, {}):
            raise UserError(f"Setting '{path}.{key}' is called '{path}.{RENAMED[path][key]}' now. Rename it.")
        if key not in section.model_fields:
            where = f" in {path!r}" if path else ""
            raise unknown_name(f"setting{where}", str(key), section.model_fields)
        inner = section.model_fields[key].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            if not isinstance(value, Mapping):
                raise UserError(f"{short(value)} is not keys and values: setting {key!r}. Give keys and values.")
            _check_keys(inner, value, f"{path}.{key}".removeprefix("."))
