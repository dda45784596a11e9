"""`zoo export`: a run becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.console import print_check, silent
from zoo.cli.console import AsJson, Overwrite, print_json, quiet_tensorflow
from zoo.errors import UserError
from zoo.files import check_free, check_run


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path, typer.Option(help="The folder of the bundle.")],
    formats: Annotated[str, typer.Option("--format", help="Formats, separated by commas.")] = "saved_model,onnx,tflite",
    k: Annotated[int | None, typer.Option("-k", help="Items that recommend gives; by default up to 100.")] = None,
    quantize: Annotated[
        str, typer.Option(help="Smaller TFLite files to write too: float16, dynamic, int8, separated by commas.")
    ] = "",
    batch: Annotated[
        int | None, typer.Option(help="Fix the batch size of TFLite files, and with it the length of lists.")
    ] = None,
    allow_flex: Annotated[bool, typer.Option("--allow-flex", help="TFLite files may need the Flex delegate.")] = False,
    opset: Annotated[int | None, typer.Option(help="Operator set of ONNX files.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="What quantized files may lose, e.g. export.overlap=0.8.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Export a run and verify every artefact against the trained model."""
    from zoo.config import parse_settings

    limits = parse_settings(settings or ())
    if set(limits) - {"export"}:
        raise UserError(f"--set: only settings of export can be given here. Received: {', '.join(settings or ())}.")
    check_free(out, overwrite, "manifest.json")
    check_run(run)
    quiet_tensorflow()
    from export.bundle.publishing import export as export_run

    bundle = export_run(
        run,
        out,
        _names(formats),
        k=k,
        quantize=_names(quantize),
        batch=batch,
        allow_flex=allow_flex,
        opset=opset,
        limits=limits.get("export"),
        overwrite=overwrite,
        report=silent if as_json else print_check,
    )
    if as_json:
        print_json({"bundle": str(bundle.folder), **bundle.manifest})
    else:
        print(f"Published {bundle.folder}, version {bundle.version}")


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]
