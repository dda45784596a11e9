"""SavedModel, for TF Serving and TensorFlow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from export.formats.base import FORMATS, Artefact, Call, Format, Options, Runtime, Source
from export.rendering import render

if TYPE_CHECKING:
    from export.endpoints import Endpoint

NAME = "saved_model"
CARD = Path(__file__).parents[1] / "templates" / "saved_model.md.jinja"


class SavedModel(Format):
    """A SavedModel in a version folder, with what TF Serving reads beside it. Raw ids go in and out."""

    name = NAME
    title = "SavedModel"
    tags = ("tensorflow", "tf-serving")
    artefacts = (Artefact("saved_model", "SavedModel", "saved_model/{version}"),)
    packages = ("tensorflow", "keras")
    wrong_requests = (
        (
            "TF Serving",
            "`INVALID_ARGUMENT` (REST: 400) that names the missing inputs",
            "`INVALID_ARGUMENT` (REST: 400) with both dtypes",
        ),
        (
            "`export.serving.Client`",
            "`MissingInputError` that names the input; nothing is sent",
            "`WrongDtypeError` that names the input; nothing is sent",
        ),
        (
            "SavedModel in Python",
            "`TypeError` that names the input",
            "`InvalidArgumentError` with both dtypes and the place of the input, in the order of the alphabet from 0",
        ),
    )
    most_reads = 2.0

    def write(self, folder: Path, source: Source, options: Options) -> None:
        """Writes the version, what TF Serving reads beside it, and keeps the version before it."""
        from export.formats.saved_model import writer
        from export.serving import tf_serving

        if source.former is not None:
            _keep_former(source.former / self.name, folder)
        writer.write(source.graphs, dict(source.vocabularies), folder, source.version)
        architecture, endpoints = source.graphs.model.architecture, source.graphs.endpoints
        tf_serving.write(folder, architecture, source.bundle, endpoints, source.requests, source.version)

    def open(self, place: Path, endpoints: tuple[Endpoint, ...]) -> Runtime:
        """The SavedModel, loaded by TensorFlow."""
        from export.formats.saved_model.runtime import SavedModelRuntime

        return SavedModelRuntime(place, endpoints)

    def last_version(self, folder: Path) -> int:
        """The largest version in the folder."""
        return max((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=0)

    def how_to_call(self, call: Call) -> list[str]:
        """How to start TF Serving, and requests to it by curl and by the typed client."""
        from export.serving import tf_serving

        asked = [tf_serving.rest_example(call.architecture, e, call.examples[key]) for key, e in call.endpoints.items()]
        recommend = call.endpoints["recommend"]
        text = render(
            CARD,
            docker=tf_serving.docker_command(call.bundle),
            curl=asked,
            grpc=tf_serving.grpc_example(".", recommend, call.examples["recommend"]),
        )
        return [text.rstrip()]


def _keep_former(versions: Path, folder: Path) -> None:
    """Puts the version before into the new folder too, because a server may still read it."""
    former = versions / str(FORMAT.last_version(versions))
    if former.is_dir():
        kept = folder / former.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(former, kept, copy_function=os.link)
        except OSError:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(former, kept)


FORMAT = SavedModel()
FORMATS.register(FORMAT)
