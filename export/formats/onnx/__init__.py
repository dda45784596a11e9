"""ONNX, for ONNX Runtime in any language."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.formats.base import FORMATS, Artefact, Call, Format, Option, Options, Runtime, Source
from zoo.errors import UserError

if TYPE_CHECKING:
    from export.endpoints import Endpoint

# The first in which ScatterND can add up, and the last that the oldest ONNX Runtime of `pyproject.toml` runs.
OLDEST_OPSET = 16
DEFAULT_OPSET = 17
LATEST_OPSET = 21


class Onnx(Format):
    """One ONNX file for every endpoint. Raw ids go in and out."""

    name = "onnx"
    title = "ONNX"
    tags = ("onnx",)
    artefacts = (Artefact("onnx", "ONNX", "onnx", shown="onnx/*.onnx"),)
    options = (Option("opset", f"Operator set of ONNX files, from {OLDEST_OPSET} to {LATEST_OPSET}.", int),)
    packages = ("onnx", "onnxruntime", "tf2onnx")
    wrong_requests = (
        (
            "ONNX Runtime",
            "`ValueError` that names the input",
            "`InvalidArgument` with both dtypes, without the name of the input",
        ),
    )
    most_reads = 1.5

    def check(self, options: Options) -> None:
        """Raises a `UserError` if the operator set cannot be written."""
        check_opset(options["opset"])

    def write(self, folder: Path, source: Source, options: Options) -> None:
        """Writes a file for every endpoint."""
        from export.formats.onnx import writer

        writer.write(source.graphs, source.vocabularies, folder, opset=check_opset(options["opset"]))

    def open(self, place: Path, endpoints: tuple[Endpoint, ...]) -> Runtime:
        """The files, loaded by ONNX Runtime."""
        from export.formats.onnx.runtime import OnnxRuntime

        return OnnxRuntime(place, endpoints)

    def how_to_call(self, call: Call) -> list[str]:
        """Requests in Python and JavaScript."""
        from export.formats.onnx.examples import how_to_call

        return [how_to_call(call.endpoints["recommend"], call.examples["recommend"])]


def check_opset(opset: object) -> int:
    """The operator set to write, `DEFAULT_OPSET` for `None`.

    Raises:
        UserError: If it cannot be written.
    """
    if opset is None:
        return DEFAULT_OPSET
    if isinstance(opset, bool) or not isinstance(opset, int) or not OLDEST_OPSET <= opset <= LATEST_OPSET:
        raise UserError(
            f"Cannot write ONNX opset {opset!r}. Expected a whole number from {OLDEST_OPSET} to {LATEST_OPSET}."
        )
    return opset


FORMATS.register(Onnx())
