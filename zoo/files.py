"""Folders that appear whole or not at all, and whose files are checked before they are believed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import psutil

from zoo.errors import UserError, ZooError

# Arguments of the system call renameat2.
AT_FDCWD, RENAME_EXCHANGE = -100, 2
# How the names of a folder that was replaced end: while it is removed, and while nothing is in its place yet.
FORMER, ASIDE = "-former", "-aside"

# The longest name of an output, in bytes. Those of unfinished ones beside it have 105 more, and 255 are allowed.
LONGEST_NAME = 150

# The version of recozoo that opens each older format, by what a folder is.
OPENED_BY: Mapping[str, Mapping[int, str]] = {"run": {1: "0.1.0"}, "bundle": {1: "0.1.0", 2: "0.1.0"}}


class Described(TypedDict):
    """The size and the checksum of a file, as a manifest has them."""

    size: int
    sha256: str


def cache_folder() -> Path:
    """The folder that keeps downloads and what was computed from texts."""
    return Path.home() / ".cache" / "recozoo"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def describe_files(folder: Path, but: str) -> dict[str, Described]:
    """Size and SHA-256 of every file in a folder.

    Args:
        folder: The folder.
        but: The file to leave out, into which the description goes.

    Returns:
        `{"size": bytes, "sha256": hexadecimal}` by path relative to the folder.
    """
    paths = {name: folder / name for name in list_files(folder, but)}
    return {name: {"size": path.stat().st_size, "sha256": sha256(path)} for name, path in paths.items()}


def list_files(folder: Path, but: str) -> list[str]:
    """The paths of all files in a folder except one, relative to the folder, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / but)
    return [path.relative_to(folder).as_posix() for path in files]


def check_files(folder: Path, described: Mapping[str, Described]) -> None:
    """Raises a `UserError` that names the first file that is missing, truncated or edited, and both checksums."""
    for name, expected in described.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{folder}: its list of files leads out of it, to {name!r}. Make it anew.")
        if not path.is_file():
            raise UserError(f"{path}: missing from the folder, expected SHA-256 {expected['sha256']}. Make it anew.")
        size, found = path.stat().st_size, sha256(path)
        sums = f"found {found}, expected {expected['sha256']}"
        if size != expected["size"]:
            raise UserError(f"{path}: has {size} bytes, expected {expected['size']} (SHA-256: {sums}). Make it anew.")
        if found != expected["sha256"]:
            raise UserError(f"{path}: its SHA-256 is not the one that was written down: {sums}. Make it anew.")


def read_json(path: Path, what: str) -> Any:
    """The JSON in the file that makes a folder what it is.

    Args:
        path: The file.
        what: What the folder would be, e.g. `"run"`.

    Returns:
        Its content.

    Raises:
        UserError: If it is not there or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path.parent}: not a {what}, because it has no {path.name}. Name another folder.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error


@contextlib.contextmanager
def parsing(path: Path, what: str) -> Iterator[None]:
    """Turns whatever a parser of a damaged file raises into an error that names the file.

    Checksums tell that a file is as it was written, but they can be made anew for a file that somebody edited. Parsers
    raise errors of any kind for such a file.

    Args:
        path: The file or folder that is parsed meanwhile.
        what: What it should be, e.g. `"a recipe"`.

    Raises:
        UserError: If something is raised.
    """
    try:
        yield
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path}: {error}") from error
    except ZooError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserError(f"{path}: not {what} ({type(error).__name__}: {reason}). Make it anew.") from error


def check_run(folder: Path) -> None:
    """Raises a `UserError` that says what a folder is, if it is not a finished run."""
    if (folder / "run.json").exists():
        return
    unfinished = folder.with_name(f".{folder.name}-unfinished")
    is_unfinished = folder.name.startswith(".") and folder.name.endswith("-unfinished") and folder.exists()
    if is_unfinished or unfinished.exists():
        raise UserError(f"{folder}: not a run yet, its training was interrupted. Finish it by zoo train with --resume.")
    if (folder / "manifest.json").exists():
        raise UserError(f"{folder}: a bundle, not a run. Name the run that it was exported from.")
    raise UserError(f"{folder}: not a run, because it has no run.json. Name another folder.")


def read_manifest(folder: Path, name: str, what: str, version: int, keys: Sequence[str]) -> dict[str, Any]:
    """The manifest of a folder whose files are all as they were written.

    Args:
        folder: The folder.
        name: The file that is the manifest.
        what: What the folder is, e.g. `"run"`.
        version: The format that can be read.
        keys: What the manifest must have besides `format` and `files`.

    Returns:
        Its content.

    Raises:
        UserError: If there is none, it is of another format (for an older one the message names the version that opens
            it), or a file is missing, truncated or edited.
    """
    manifest = read_json(folder / name, what)
    if not isinstance(manifest, dict) or any(key not in manifest for key in ("format", "files", *keys)):
        raise UserError(f"{folder / name}: not the manifest of a {what}. Make the {what} anew.")
    if manifest["format"] != version:
        raise _other_format(folder, what, manifest["format"], version)
    link = next((path for path in sorted(folder.rglob("*")) if path.is_symlink()), None)
    if link is not None:
        raise UserError(f"{link}: is a link, which may lead anywhere. Put the file or folder itself there.")
    if not _is_description(manifest["files"]):
        raise UserError(f"{folder / name}: its list of files was edited. Make the {what} anew.")
    check_files(folder, manifest["files"])
    return manifest


def _other_format(folder: Path, what: str, found: object, version: int) -> UserError:
    older = OPENED_BY.get(what, {}).get(found) if isinstance(found, int) else None
    if older is None:
        return UserError(
            f"{folder}: a {what} of format {found!r}; this version reads format {version}. "
            f"Open it with the version of recozoo that wrote it, or make the {what} anew."
        )
    return UserError(
        f"{folder}: a {what} written by recozoo {older.rpartition('.')[0]} (format {found}); this version reads "
        f"format {version}. Open it with: pip install recozoo=={older}, or make the {what} anew."
    )


def _is_description(files: object) -> bool:
    """Whether something has the form that `describe_files` gives."""
    keys = {"size", "sha256"}
    return isinstance(files, dict) and all(isinstance(each, dict) and each.keys() >= keys for each in files.values())


def real_place(out: Path) -> Path:
    """Where an output really goes: to the end of a link, which stays as it is.

    Args:
        out: A folder or file, which need not be there.

    Returns:
        The path that is written.

    Raises:
        UserError: If it is a link that leads nowhere.
    """
    if len(os.fsencode(out.name)) > LONGEST_NAME:
        raise UserError(f"{out.name}: cannot be written (File name too long). Choose a name of at most {LONGEST_NAME}.")
    try:
        if out.name not in ("", "..") and not out.is_symlink():
            return out
        place = out.resolve(strict=True)
    except FileNotFoundError as error:
        if not out.is_symlink():
            raise UserError(f"{out}: does not exist any more. Change into a folder that does.") from error
        raise _leads_nowhere(out) from error
    except RuntimeError as error:  # a link to itself
        raise _leads_nowhere(out) from error
    except OSError as error:
        if error.errno == errno.ELOOP:  # the same in later versions of Python
            raise _leads_nowhere(out) from error
        raise cannot_write(out, error) from error
    if not place.name:
        raise UserError(f"{out}: no place for an output. Choose a folder within it.")
    if not out.is_symlink() and Path.cwd().is_relative_to(place):
        raise UserError(f"{out}: the working folder is in it, so it is not replaced. Call from the folder above it.")
    return place


def _leads_nowhere(link: Path) -> UserError:
    where = os.readlink(link)
    return UserError(f"{link}: a link to {where}, which leads nowhere. Remove the link, or make what it leads to.")


def cannot_write(out: Path, error: OSError) -> UserError:
    """The error for an output whose disk is full, closed to us or lost, or whose name is too long."""
    place = f" at {error.filename}" if isinstance(error.filename, str) and error.filename != str(out) else ""
    reason = f"{error.strerror or error}{place}"
    return UserError(f"{out}: cannot be written ({reason}). Choose another output, or make room for it there.")


def check_free(out: Path, overwrite: bool, marker: str) -> None:
    """Raises a `UserError` if the output folder exists, unless it may be overwritten and is of the same kind.

    Args:
        out: The output folder.
        overwrite: Whether it may be replaced.
        marker: The file that every folder of this kind has; others are never replaced.
    """
    real_place(out)
    if out.exists() and not overwrite:
        raise UserError(f"{out}: exists already. Choose another folder or pass --overwrite (overwrite=True).")
    if out.is_file():
        raise UserError(f"{out}: is a file. Choose another name for the output folder.")
    if out.exists() and any(out.iterdir()) and not (out / marker).exists():
        raise UserError(
            f"{out}: has no {marker}, so it holds something else and is not replaced. Choose another folder."
        )


def publish(made: Path, out: Path) -> None:
    """Renames a finished folder to where it belongs. A former one gives way in the same moment, where the system can.

    Where it cannot, the former one has a name that ends in `ASIDE` for a moment. If the process is killed in that
    moment, the next `published_folder` puts it back.
    """
    former, aside = (made.with_name(f"{made.name}{ending}") for ending in (FORMER, ASIDE))
    if not out.exists():
        os.replace(made, out)
    else:
        # A process that was killed here may have left some of them.
        _remove(former, aside)
        if _exchange(made, out):
            os.replace(made, former)
        else:
            os.replace(out, aside)
            os.replace(made, out)
            os.replace(aside, former)
    _remove(former, aside)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Lets two folders change names in one step; false where the system or its file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def _clear_abandoned(out: Path) -> None:
    """Removes what processes of this machine that were killed had begun to write for the same place.

    A folder that they had put aside is put back if nothing is in its place yet.
    """
    prefix = f".{out.name}-unfinished-{platform.node()}-"
    for folder in sorted(out.parent.glob(f"{glob.escape(prefix)}*")):
        if _is_abandoned(folder, folder.name.removeprefix(prefix).split("-")[0]):
            if folder.name.endswith(ASIDE) and not out.exists():
                os.replace(folder, out)
            else:
                _remove(folder)


def _is_abandoned(folder: Path, process: str) -> bool:
    """Whether the process that a folder is named after is gone. Another one may have its number by now."""
    if not process.isdecimal():
        return False
    try:
        return psutil.Process(int(process)).create_time() > folder.stat().st_mtime
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False


@contextlib.contextmanager
def published_folder(out: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """A folder to write into. It becomes `out` if all goes well, else it vanishes.

    Args:
        out: Where the result goes.
        overwrite: Whether a folder that is there may be replaced.
        marker: The file that every folder of this kind has; see `check_free`.

    Raises:
        UserError: If `out` exists and may not be replaced.
    """
    _clear_abandoned(out)
    check_free(out, overwrite, marker)
    with parent_folder(out):
        prefix = f".{out.name}-unfinished-{platform.node()}-{os.getpid()}-"
        unfinished = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
        try:
            yield unfinished
            unfinished.chmod(0o755)
            publish(unfinished, out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def parent_folder(out: Path) -> Iterator[None]:
    """Makes the folders above `out`; those that were made go again if there is an error and nothing is in them."""
    made = [folder for folder in out.parents if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out.parent}: cannot be made ({error.strerror}). Choose another folder.") from error
    try:
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
