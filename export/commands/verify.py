"""`zoo verify`: the proof of a bundle, once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.console import CheckPrinter, Verbose, silent
from zoo.cli.console import AsJson, print_json, quiet_tensorflow
from zoo.files import read_json


def verify(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle.")],
    trusted: Annotated[
        Path | None, typer.Option(help="A public key (PEM), or a folder of them; one must have signed the bundle.")
    ] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Check the files of a bundle and ask every artefact again what the trained model answered."""
    read_json(bundle / "manifest.json", "bundle")
    quiet_tensorflow()
    from export.bundle.bundle import open_bundle
    from export.bundle.publishing import verify as verify_bundle

    opened = open_bundle(bundle)
    if not as_json:
        print(f"✓ {len(opened.manifest['files'])} files have the SHA-256 that the manifest says")
    with CheckPrinter(verbose) as print_line:
        checks = verify_bundle(opened, silent if as_json else print_line, trusted=trusted)
    if as_json:
        print_json({"bundle": str(bundle), "checks": [check.to_json() for check in checks]})
