"""`zoo export` and `zoo verify`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.console import print_check
from export.demo import demo
from zoo.cli.console import AsJson, Overwrite, print_json, quiet_tensorflow
from zoo.files import check_free, read_json

if TYPE_CHECKING:
    from export.verification import Check


def register(app: typer.Typer) -> None:
    """Adds the commands of this package to the `zoo` command."""
    app.command()(export)
    app.command()(verify)
    app.command()(demo)


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path, typer.Option(help="The folder of the bundle.")],
    formats: Annotated[str, typer.Option("--format", help="Formats, separated by commas.")] = "saved_model,onnx,tflite",
    k: Annotated[int | None, typer.Option("-k", help="Items that recommend gives; by default up to 100.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Export a run and verify every artefact against the trained model."""
    check_free(out, overwrite, "manifest.json")
    read_json(run / "run.json", "run")
    quiet_tensorflow()
    from export.bundle import export as export_run

    chosen = [name.strip() for name in formats.split(",") if name.strip()]
    report = _silent if as_json else print_check
    bundle = export_run(run, out, chosen, k=k, overwrite=overwrite, report=report)
    if as_json:
        print_json({"bundle": str(bundle.folder), **bundle.manifest})
    else:
        print(f"Published {bundle.folder}")


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
        print_json({"bundle": str(bundle), "checks": [dataclasses.asdict(check) for check in checks]})


def _silent(check: Check) -> None:
    pass
