"""What the manifest of a bundle says, with its types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from pydantic import JsonValue

from export.endpoints import EndpointJson
from export.verification.check import CheckJson
from zoo.errors import UserError
from zoo.evaluation.evaluation import EvaluationJson
from zoo.families.contracts import Recipe
from zoo.files import list_files, read_manifest

NAME = "manifest.json"
# The signature of the manifest, where somebody signed it.
SIGNATURE = "manifest.sig"
FORMAT = 3
KEYS = ("formats", "artefacts", "endpoints", "version", "options")


class Data(TypedDict):
    """What the model was trained on."""

    name: str
    notes: list[str]
    facts: Mapping[str, JsonValue]
    users: int
    items: int


class Measured(TypedDict):
    """Size and latency of an artefact."""

    bytes: int
    milliseconds: float
    calls: int


class ArtefactFacts(TypedDict):
    """Sizes and latencies of all artefacts, and the machine that they were measured on."""

    machine: str
    artefacts: dict[str, Measured]


class RunFacts(TypedDict):
    """What the model card says of a run, except its metrics."""

    source: str | None
    interactions: dict[str, int]
    baseline: dict[str, EvaluationJson]


class FileJson(TypedDict):
    """Size and SHA-256 of a file."""

    size: int
    sha256: str


class Manifest(TypedDict):
    """The content of `manifest.json`.

    A format may note more under its own name, e.g. `"tflite"` the fixed sizes of its files.
    """

    format: int
    version: str
    recipe: Recipe
    family: str
    k: int
    formats: list[str]
    artefacts: list[str]
    options: Mapping[str, JsonValue]
    endpoints: dict[str, EndpointJson]
    withdrawn: list[str] | list[int]
    data: Data
    metrics: dict[str, EvaluationJson]
    versions: dict[str, str]
    refreshed: NotRequired[dict[str, int | str]]
    checks: NotRequired[list[CheckJson]]
    source: NotRequired[str | None]
    interactions: NotRequired[dict[str, int]]
    baseline: NotRequired[dict[str, EvaluationJson]]
    artefact_facts: NotRequired[ArtefactFacts]
    files: NotRequired[dict[str, FileJson]]


def read(folder: Path) -> Manifest:
    """The manifest of a bundle whose files are all as they were written.

    Args:
        folder: The bundle.

    Returns:
        The `Manifest`.

    Raises:
        UserError: If there is none, it is of another format, or a file is missing, truncated, edited or was added.
    """
    manifest = read_manifest(folder, NAME, "bundle", FORMAT, keys=KEYS)
    added = set(list_files(folder, but=NAME)) - manifest["files"].keys() - {SIGNATURE}
    if added:
        raise UserError(f"{folder / min(added)}: not a file of this bundle. Remove it, because a server might read it.")
    return cast(Manifest, manifest)


def version_of(folder: Path) -> int:
    """The version of the bundle in a folder, whatever state it is in; 0 if there is none."""
    try:
        return int(json.loads((folder / NAME).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def edited(folder: Path) -> UserError:
    """The error for a manifest that contradicts itself."""
    return UserError(f"{folder / NAME}: was edited and contradicts itself. Make the bundle anew.")


def write(manifest: Manifest, folder: Path) -> Manifest:
    """Writes the manifest of a bundle, and gives it as it will be read."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    (folder / NAME).write_text(text, encoding="utf-8")
    written: Manifest = json.loads(text)
    return written
