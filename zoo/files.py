"""Folders that appear whole or not at all, and whose files are checked before they are believed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import UserError


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def describe_files(folder: Path, but: str) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file in a folder.

    Args:
        folder: The folder.
        but: The file to leave out: the one this goes into.

    Returns:
        `{"size": bytes, "sha256": hexadecimal}` by path relative to the folder.
    """
    paths = {name: folder / name for name in list_files(folder, but)}
    return {name: {"size": path.stat().st_size, "sha256": sha256(path)} for name, path in paths.items()}


def list_files(folder: Path, but: str) -> list[str]:
    """The paths of all files in a folder but one, relative to the folder, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / but)
    return [path.relative_to(folder).as_posix() for path in files]


def check_files(folder: Path, described: dict[str, dict[str, Any]]) -> None:
    """Raises a `UserError` that names the first file that is missing, truncated or edited."""
    for name, expected in described.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing from the folder. Make it anew.")
        if path.stat().st_size != expected["size"]:
            raise UserError(f"{path}: has {path.stat().st_size} bytes, expected {expected['size']}. Make it anew.")
        if sha256(path) != expected["sha256"]:
            raise UserError(f"{path}: its SHA-256 is not the one that was written down. Make it anew.")


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
        raise UserError(f"{path.parent}: not a {what}, since it has no {path.name}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error


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
        UserError: If there is none, it is of another format, or a file is missing, truncated or edited.
    """
    manifest = read_json(folder / name, what)
    if not isinstance(manifest, dict) or any(key not in manifest for key in ("format", "files", *keys)):
        raise UserError(f"{folder / name}: not the manifest of a {what}. Make the {what} anew.")
    if manifest["format"] != version:
        raise UserError(f"{folder}: written in format {manifest['format']}; this version reads {version}.")
    check_files(folder, manifest["files"])
    return manifest


def check_free(out: Path, overwrite: bool, marker: str) -> None:
    """Raises a `UserError` if the output folder exists, unless it may be overwritten and is of the same kind.

    Args:
        out: The output folder.
        overwrite: Whether it may be replaced.
        marker: The file that every folder of this kind has; others are never replaced.
    """
    if out.exists() and not overwrite:
        raise UserError(f"{out}: exists already. Choose another folder or pass --overwrite (overwrite=True).")
    if out.is_file():
        raise UserError(f"{out}: is a file. Choose another name for the output folder.")
    if out.exists() and any(out.iterdir()) and not (out / marker).exists():
        raise UserError(f"{out}: has no {marker}, so it holds something else and is not replaced.")


def publish(made: Path, out: Path) -> None:
    """Renames a finished folder to where it belongs; a former one gives way only now."""
    if out.exists():
        former = Path(tempfile.mkdtemp(prefix=f".{out.name}-former-", dir=out.parent))
        os.replace(out, former / out.name)
        os.replace(made, out)
        shutil.rmtree(former)
    else:
        os.replace(made, out)


@contextlib.contextmanager
def published_folder(out: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """A folder to write into, which becomes `out` if all goes well and vanishes if not.

    Args:
        out: Where the result goes.
        overwrite: Whether a folder that is there may be replaced.
        marker: The file that every folder of this kind has; see `check_free`.

    Raises:
        UserError: If `out` exists and may not be replaced.
    """
    check_free(out, overwrite, marker)
    with parent_folder(out):
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-unfinished-", dir=out.parent))
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
        raise UserError(f"{out.parent}: cannot be made ({error.strerror}).") from error
    try:
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
