"""`load_dataset`: a dataset by its name, from files or from a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from zoo.data.dataset import Dataset
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.data.preparation import check_arguments, names_as_text, prepare
from zoo.data.reading import Source
from zoo.data.stream_preparation import prepare_stream
from zoo.data.tables import missing_file, suffixes
from zoo.errors import UserError, unknown_name
from zoo.options import check_options, options_of
from zoo.yaml_reader import read_yaml

# Options of a dataset, by the names that `prepare` or the dataset has for them.
Settings: TypeAlias = dict[str, Any]

YAML_SUFFIXES = (".yaml", ".yml")
_TABLES = ("interactions", "users", "items")


def list_datasets() -> list[str]:
    """The names of the named datasets."""
    return list(DATASETS)


def load_dataset(
    source: Source,
    *,
    data_root: str | Path | None = None,
    stream: bool = False,
    scratch: Path | None = None,
    **options: Any,
) -> Dataset:
    """Loads a dataset by name, from files or from a frame, and prepares it.

    Args:
        source: A name (`list_datasets()`); the path of an interactions file, the URL of a database, or a frame or
            the like (see `zoo.data.tables.read_table`); or the path of a YAML file with `interactions`, `users` and
            `items` (paths from its folder, or mappings with a path `file`) and options.
        data_root: The folder with the files of a named dataset, or with a folder of that name.
            By default the environment variable `ZOO_DATA`, else a cache that is filled by a download.
        stream: Whether the interactions stay on disk (see `zoo.data.stream_preparation.prepare_stream`). The
            source is then a Parquet or TFRecord file, a folder of them, or a YAML file that names one; a YAML
            file may also say `stream: true`.
        scratch: Where streamed interactions are put, by default where temporary files go.
        **options: What `prepare` takes, and `users` and `items` with an interactions file or frame.
            They win over those of a YAML file. `synthetic` takes `num_users`, `num_items` and
            `num_interactions` too.

    Returns:
        A `Dataset`.

    Raises:
        UserError: If there is no such name, file or option, or something in the data is wrong.

    Example:

    >>> data = load_dataset("synthetic", num_users=50, num_items=40, num_interactions=500)
    >>> data.num_users
    52
    """
    if stream:
        return _stream(source, scratch, options)
    if not isinstance(source, (str, Path)) or "://" in str(source):
        _check_keys(options, _options_of(prepare), "option")
        return prepare(source, **options)
    if str(source) in DATASETS:
        return _load_named(DATASETS[str(source)], data_root, options)
    return _load_file(Path(source), scratch, options)


def _load_named(dataset: NamedDataset, data_root: str | Path | None, options: dict[str, object]) -> Dataset:
    own = options_of(dataset.load)
    of_prepare = [name for name in options_of(prepare) if name not in _TABLES]
    of_dataset = {name: option for name, option in own.items() if name != "data_root"}
    _check_keys(options, [*of_dataset, *of_prepare], "option")
    own_options = {name: value for name, value in options.items() if name in of_dataset}
    check_options(own_options, of_dataset, of=f"dataset {dataset.name!r}")
    return dataset.load(**options, **({"data_root": data_root} if "data_root" in own else {}))


def _load_file(path: Path, scratch: Path | None, options: Settings) -> Dataset:
    if path.is_dir():
        raise UserError(
            f"{path}: is a folder. Give an interactions file or a YAML file in it; a folder of Parquet or TFRecord "
            "files can be streamed (data.stream=true)."
        )
    suffix = path.suffix.lower()
    if suffix in YAML_SUFFIXES:
        return _from_yaml(path, scratch, options)
    if path.exists() or suffix in suffixes():
        _check_keys(options, _options_of(prepare), "option")
        return prepare(path, **{"name": path.stem, **options})
    raise _no_such_dataset(path)


def _no_such_dataset(path: Path) -> UserError:
    if path.suffix.lower() == ".tfrecord":
        return UserError(f"{path}: TFRecord files are streamed. Say so by data.stream=true (stream=True).")
    return UserError(
        f"{unknown_name('dataset', str(path), DATASETS)} Named datasets: {', '.join(list_datasets())}. "
        f"The path of an interactions file ({', '.join(suffixes())}) or of a YAML file works as well."
    )


def _options_of(function: Callable[..., Dataset]) -> list[str]:
    """The options of a function, except parameters of `load_dataset`."""
    others = ("interactions", "data_root", "scratch")
    return [name for name in options_of(function) if name not in others]


def _check_keys(keys: Iterable[str], known: list[str], what: str) -> None:
    for key in keys:
        if key not in known:
            raise unknown_name(what, str(key), known)


def _stream(source: Source, scratch: Path | None, options: Settings) -> Dataset:
    is_in_memory = not isinstance(source, (str, Path))
    if is_in_memory or str(source) in DATASETS:
        what = "a frame" if is_in_memory else f"the dataset {str(source)!r}"
        raise UserError(f"Only files can be streamed. {what.capitalize()} is in memory anyway: leave data.stream out.")
    path = Path(str(source))
    if path.suffix.lower() in YAML_SUFFIXES:
        return _from_yaml(path, scratch, {**options, "stream": True})
    _check_stream_options(options)
    return prepare_stream(path, **{"name": path.stem, **options}, scratch=scratch)


def _check_stream_options(options: Iterable[str]) -> None:
    options = list(options)
    if "max_history" in options:
        raise UserError("max_history has no effect on a stream, which has no histories. Leave it out.")
    _check_keys(options, _options_of(prepare_stream), "option")


def _from_yaml(path: Path, scratch: Path | None, options: Settings) -> Dataset:
    known = ["interactions", "stream", *_options_of(prepare)]
    said = _read_settings(path, known)
    _check_keys(options, known, "option")
    settings = {"name": path.stem, **said, **options}
    if settings.pop("stream", False):
        _check_stream_options(key for key in settings if key != "interactions")
        return prepare_stream(**settings, scratch=scratch)
    return prepare(**settings)


def items_of_yaml(path: Path) -> tuple[Source, dict[str, str]]:
    """The table of items that a YAML file of data names, and the names that the file has for columns.

    Raises:
        UserError: If the file cannot be read or names no table of items.
    """
    said = _read_settings(path, ["interactions", "stream", *_options_of(prepare)])
    if said.get("items") is None:
        raise UserError(f"{path}: names no table of items. Add the key 'items', or name the table itself.")
    check_arguments(said.get("columns"), None, 0)
    return said["items"], names_as_text(said.get("columns"))


def _read_settings(path: Path, known: list[str]) -> Settings:
    """The settings in a YAML file, with its tables as paths."""
    if not path.exists():
        raise missing_file(path)
    said = read_yaml(path)
    if "interactions" not in said:
        raise UserError(f"{path}: needs the key 'interactions', the path of a table. Add it.")
    _check_keys(said, known, f"key in {path}:")
    tables = {table: _from_folder(path.parent, said[table]) for table in _TABLES if said.get(table) is not None}
    return {**said, **tables}


def _from_folder(folder: Path, table: Any) -> Any:
    """A table that a YAML file names, its path taken from the folder of that file."""
    if isinstance(table, Mapping):
        return {**table, "file": _from_folder(folder, table["file"])} if "file" in table else table
    return table if "://" in str(table) else str(folder / str(table))
