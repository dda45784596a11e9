"""`zoo export`, `zoo verify` and `zoo refresh`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.console import print_check
from zoo.cli.console import AsJson, Overwrite, print_json, quiet_tensorflow
from zoo.errors import UserError
from zoo.files import check_free, check_run, read_json

if TYPE_CHECKING:
    from export.verification import Check


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
    from export.bundle import export as export_run

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
        report=_silent if as_json else print_check,
    )
    if as_json:
        print_json({"bundle": str(bundle.folder), **bundle.manifest})
    else:
        print(f"Published {bundle.folder}, version {bundle.version}")


def verify(bundle: Annotated[Path, typer.Argument(help="The folder of a bundle.")], as_json: AsJson = False) -> None:
    """Check the files of a bundle and ask every artefact again what the trained model answered."""
    read_json(bundle / "manifest.json", "bundle")
    quiet_tensorflow()
    from export.bundle import open_bundle
    from export.bundle import verify as verify_bundle

    opened = open_bundle(bundle)
    if not as_json:
        print(f"ok  {len(opened.manifest['files'])} files have the SHA-256 that the manifest says")
    checks = verify_bundle(opened, _silent if as_json else print_check)
    if as_json:
        print_json({"bundle": str(bundle), "checks": [check.to_json() for check in checks]})


def refresh(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle.")],
    items: Annotated[Path, typer.Option(help="The whole new catalogue: a CSV, TSV or Parquet file.")],
    out: Annotated[Path | None, typer.Option(help="The folder of the new bundle; by default the old one's.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", help="Names for columns, name in the file=name here: sku=item.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="Items that recommend gives; by default as before.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Put new, changed and withdrawn items into a bundle without training, and verify and publish it again."""
    named = _renames(columns or ())
    read_json(bundle / "manifest.json", "bundle")
    quiet_tensorflow()
    from export.refresh import refresh as refresh_bundle

    report = _silent if as_json else print_check
    done = refresh_bundle(bundle, items, out, columns=named, k=k, overwrite=overwrite, report=report)
    if not done.changes:
        print(f"Warning: {items} is the catalogue that {bundle} has already. Nothing was published.", file=sys.stderr)
    if as_json:
        print_json(
            {
                "bundle": str(out or bundle) if done.changes else str(bundle),
                "version": done.bundle.version,
                "published": bool(done.changes),
                "items": done.changes.counts,
                "checks": done.bundle.manifest["checks"] if done.changes else [],
            }
        )
    else:
        print(f"Items: {done.changes}")
        if done.changes:
            print(f"Published {out or bundle}, version {done.bundle.version}")


def _renames(columns: Sequence[str]) -> dict[str, str]:
    renames = dict(column.rpartition("=")[::2] for column in columns)
    for column, name in renames.items():
        if not column or not name:
            raise UserError(f"--columns: expected name in the file=name here. Received: {column or name!r}.")
    return renames


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _silent(check: Check) -> None:
    pass
