"""Archives that are downloaded once, checked, and kept in the cache."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from zoo.errors import UserError
from zoo.files import cache_folder

# The folder that holds the files of named datasets, or a folder for each.
ROOT_VARIABLE = "ZOO_DATA"


@dataclasses.dataclass
class Archive:
    """A published zip file with the files of a dataset.

    Args:
        name: What the dataset is called, which is also the folder inside the archive.
        url: Where it is.
        md5: Its checksum, as published.
        licence: Where its licence is.
    """

    name: str
    url: str
    md5: str
    licence: str

    def folder(self, files: tuple[str, ...], data_root: str | Path | None) -> Path:
        """The folder that has the given files.

        Args:
            files: The files that are needed.
            data_root: The folder with them, or with a folder of the archive's name. By default the environment
                variable `ZOO_DATA`, else the cache, which is filled by a download first.

        Raises:
            UserError: If the folder lacks a file, or the download fails.
        """
        folder = _given_folder(self.name, files, data_root, self._how_to_get(files))
        if folder is None:
            folder = cache_folder() / self.name
            if _missing(files, folder):
                self.download(files, folder)
        return folder

    def download(self, files: tuple[str, ...], folder: Path) -> None:
        """Downloads the archive, checks it, and puts its files into a folder.

        Args:
            files: The files that are wanted.
            folder: Where they go. Each appears whole or not at all.

        Raises:
            UserError: If the archive cannot be had or is not the one that was published.
        """
        import pooch

        pooch.get_logger().setLevel("WARNING")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as unfinished, _Bar(self.url) as bar:
                fetch = pooch.HTTPDownloader(progressbar=bar, timeout=30)
                pooch.retrieve(self.url, f"md5:{self.md5}", "archive.zip", unfinished, downloader=fetch)
                self._unpack(Path(unfinished) / "archive.zip", files, Path(unfinished))
                for file in files:
                    os.replace(Path(unfinished) / file, folder / file)
        except UserError:
            raise
        except ValueError as error:  # by which pooch says that the sum is another
            raise UserError(
                f"{self.name}: what is at {self.url} does not have the published MD5 sum {self.md5}, so it was "
                f"removed. {self._how_to_get(files)}"
            ) from error
        except OSError as error:
            raise UserError(
                f"{self.name}: could not download {self.url} ({error}). {self._how_to_get(files)}"
            ) from error

    def _unpack(self, archive: Path, files: tuple[str, ...], folder: Path) -> None:
        with zipfile.ZipFile(archive) as opened:
            for file in files:
                if f"{self.name}/{file}" not in opened.namelist():
                    raise UserError(f"{self.name}: the archive lacks {self.name}/{file}. {self._how_to_get(files)}")
                with opened.open(f"{self.name}/{file}") as packed, (folder / file).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)

    def _how_to_get(self, files: tuple[str, ...]) -> str:
        return (
            f"Put {', '.join(files)} from {self.url} into a folder {self.name} and give the folder above it as "
            f"data_root or in the environment variable {ROOT_VARIABLE}. The licence is at {self.licence} (research "
            "use, no redistribution)."
        )


def own_folder(name: str, files: tuple[str, ...], data_root: str | Path | None, url: str) -> Path:
    """The folder of a dataset whose files a user has, because there is nothing to download.

    Args:
        name: What the dataset is called.
        files: The files that are needed.
        data_root: The folder with them, or with a folder of that name. By default the environment variable
            `ZOO_DATA`.
        url: Where the data comes from.

    Raises:
        UserError: If no folder is given, or it lacks a file.
    """
    mend = (
        f"Put {', '.join(files)} into a folder {name} and give the folder above it as data_root or in the environment "
        f"variable {ROOT_VARIABLE}. The data comes from {url}."
    )
    folder = _given_folder(name, files, data_root, mend)
    if folder is None:
        raise UserError(f"{name}: is not downloaded, and no folder is given. {mend}")
    return folder


def _given_folder(name: str, files: tuple[str, ...], data_root: str | Path | None, mend: str) -> Path | None:
    """The folder that is given for a dataset, if one is. Raises a `UserError` that says `mend` if it lacks a file."""
    given, source = (data_root, "data_root") if data_root else (os.environ.get(ROOT_VARIABLE), ROOT_VARIABLE)
    if not given:
        return None
    folder = Path(given) / name if (Path(given) / name).is_dir() else Path(given)
    missing = _missing(files, folder)
    if missing:
        raise UserError(f"{name}: {folder} ({source}) lacks {', '.join(missing)}. {mend}")
    return folder


def _missing(files: tuple[str, ...], folder: Path) -> list[str]:
    return [file for file in files if not (folder / file).is_file()]


class _Bar:
    """A progress bar on standard error, with the methods by which pooch reports."""

    total: int

    def __init__(self, url: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(f"Downloading {url}", total=None)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def update(self, advance: int) -> None:
        """Adds bytes."""
        self._progress.update(self._task, total=self.total or None, advance=advance)

    def reset(self) -> None:
        """Starts again."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """Leaves the bar to its context."""
