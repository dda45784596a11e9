"""A published bundle, opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from export import markdown
from export.bundle.manifest import Manifest, edited, read
from export.bundle.options import Options
from export.endpoints import Endpoint
from export.formats.base import FORMATS, find_artefact
from export.verification.check import Check
from zoo.errors import UserError

# The trained model itself, which a refresh of the catalogue starts from.
MODEL = "model"
# What was fitted to the data: schema, vocabularies, text encoders.
PREPROCESSING = "preprocessing"
# What to show a person for every known item.
TITLES = "titles.json"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A published bundle. Printed, it is a summary of a few lines.

    Args:
        folder: Where it is.
        manifest: What its `manifest.json` says.
    """

    folder: Path
    manifest: Manifest = dataclasses.field(repr=False)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats it holds."""
        return tuple(self.manifest["formats"])

    @property
    def artefacts(self) -> tuple[str, ...]:
        """Its artefacts, e.g. its formats and the quantized TFLite files."""
        return tuple(self.manifest["artefacts"])

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its endpoints."""
        return tuple(Endpoint.from_json(name, values) for name, values in self.manifest["endpoints"].items())

    @property
    def version(self) -> str:
        """Its version, a whole number."""
        return self.manifest["version"]

    @property
    def options(self) -> Options:
        """How it was written."""
        return Options.from_json(self.manifest["options"])

    @property
    def checks(self) -> list[Check]:
        """The checks that it passed when it was published."""
        return [Check.from_json(check) for check in self.manifest.get("checks", [])]

    def __str__(self) -> str:
        architecture, data = self.manifest["recipe"]["name"], self.manifest["data"]["name"]
        first = f"{self.folder}: {architecture} on {data}, version {self.version}"
        return "\n".join([first, *map(self._line, self.artefacts)])

    def _line(self, artefact: str) -> str:
        size = markdown.size(find_artefact(artefact)[1].size(self.folder, self.version))
        return f"  {artefact}: {size}, {worst_figures(check for check in self.checks if check.artefact == artefact)}"


def worst_figures(checks: Iterable[Check]) -> str:
    """The worst figure of every kind of check, e.g. `largest difference 4.8e-07`."""
    worst: dict[str, Check] = {}
    for check in checks:
        if check.what not in worst or check.is_worse_than(worst[check.what]):
            worst[check.what] = check
    return ", ".join(f"{what} {check.shown_figure}" for what, check in worst.items())


def open_bundle(folder: str | Path) -> Bundle:
    """The bundle in a folder, whose files are all as they were written.

    Args:
        folder: The folder of the bundle.

    Returns:
        The `Bundle`.

    Raises:
        UserError: If there is none, it is of another format, or a file of it is missing, truncated, edited or was
            added by somebody.
    """
    opened = Bundle(Path(folder), read(Path(folder)))
    for name in opened.formats:
        if name not in FORMATS:
            raise UserError(
                f"{folder}: holds the format {name!r}, which is not registered. Name the file that registers it in "
                "ZOO_PLUGINS, or install its package."
            )
    if not _is_sound(opened):
        raise edited(Path(folder))
    return opened


def _is_sound(bundle: Bundle) -> bool:
    """Whether the parts of a manifest have the form that they were written in, and agree."""
    try:
        # The version is part of paths.
        is_number = isinstance(bundle.version, str) and bundle.version.isdecimal() and bundle.version.isascii()
        agrees = bundle.artefacts == bundle.options.artefacts and all(e.inputs and e.outputs for e in bundle.endpoints)
        return is_number and bool(bundle.endpoints) and agrees and bool(str(bundle))
    except (UserError, KeyError, TypeError, ValueError, AttributeError, AssertionError):
        return False
