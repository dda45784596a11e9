"""ONNX, for ONNX Runtime in any language."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.formats.base import FORMATS, Artefact, Call, Format, Option, Options, Runtime, Source
from export.formats.onnx.opsets import LATEST_OPSET, OLDEST_OPSET, check_opset

if TYPE_CHECKING:
    from export.endpoints import Endpoint


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


FORMATS.register(Onnx())
