"""A bundle: what export makes of a run, with a manifest, checksums and the proof that it is right."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export import onnx, saved_model, tf_serving, tflite
from export.card import model_card
from export.endpoints import Endpoint, EndpointGraphs
from export.verification import REFERENCE, Check, verify_artefacts, write_reference
from zoo.errors import UserError, ZooError, unknown_name
from zoo.files import check_free, describe_files, list_files, published_folder, read_manifest
from zoo.run import Run
from zoo.schema import Vocabulary

MANIFEST = "manifest.json"
# What was fitted to the data: schema, vocabularies, text encoders.
PREPROCESSING = "preprocessing"
FORMAT = 1
WRITERS = {module.NAME: module.write for module in (saved_model, onnx, tflite)}
PACKAGES = ("recozoo", "tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "ai-edge-litert", "numpy")

Report = Callable[[Check], None]


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A published bundle.

    Args:
        folder: Where it is.
        manifest: What its `manifest.json` says.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats it holds."""
        return tuple(self.manifest["formats"])

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its endpoints."""
        return tuple(Endpoint.from_json(name, values) for name, values in self.manifest["endpoints"].items())


def export(
    run: Run | str | Path,
    out: str | Path,
    formats: str | Iterable[str] = tuple(WRITERS),
    *,
    k: int | None = None,
    overwrite: bool = False,
    report: Report = lambda check: None,
) -> Bundle:
    """Exports a run, verifies every artefact against the trained model, and publishes only if all agree.

    Args:
        run: The run, or the folder of one.
        out: The folder of the bundle, which appears whole or not at all.
        formats: Some of `"saved_model"`, `"onnx"`, `"tflite"`.
        k: How many items `recommend` gives; by default 100, or the whole of a smaller catalogue.
        overwrite: Whether a bundle that is there may be replaced.
        report: Called with each check of the verification as it is done.

    Returns:
        The `Bundle`.

    Raises:
        UserError: For an unknown format, `k` out of range, or an output folder that exists.
        ZooError: If an artefact disagrees with the trained model. Nothing is published then.

    Example:

    >>> export.export("runs/ncf", "bundles/ncf", formats=("onnx", "tflite"))
    """
    chosen = tuple(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    if not chosen:
        raise UserError(f"No format was asked for. Valid: {', '.join(WRITERS)}.")
    for name in chosen:
        if name not in WRITERS:
            raise unknown_name("format", name, WRITERS)
    check_free(Path(out), overwrite, MANIFEST)
    loaded = run if isinstance(run, Run) else Run.load(run)
    with published_folder(Path(out), overwrite, MANIFEST) as folder:
        graphs = EndpointGraphs(loaded.model, loaded.dataset, k)
        for name in chosen:
            _write(name, graphs, _vocabularies(graphs, loaded), folder / name)
        if saved_model.NAME in chosen:
            tf_serving.write_config(loaded.config.model, folder / saved_model.NAME)
        (folder / PREPROCESSING).mkdir()
        loaded.dataset.save_preprocessing(folder / PREPROCESSING)
        write_reference(loaded.model, loaded.dataset, graphs, folder)
        checks = verify_artefacts(folder, graphs.endpoints, chosen, report)
        _raise_if_failed(checks, "Nothing was published.")
        manifest = _manifest(loaded, graphs, chosen, checks)
        (folder / "README.md").write_text(model_card(manifest), encoding="utf-8")
        manifest["files"] = describe_files(folder, but=MANIFEST)
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    return open_bundle(out)


def open_bundle(folder: str | Path) -> Bundle:
    """The bundle in a folder.

    Raises:
        UserError: If there is none, or a file of it is missing, truncated, edited or was added.
    """
    path = Path(folder)
    manifest = read_manifest(path, MANIFEST, "bundle", FORMAT, keys=("formats", "endpoints"))
    added = set(list_files(path, but=MANIFEST)) - manifest["files"].keys()
    if added:
        raise UserError(f"{path / min(added)}: not a file of this bundle. Remove it, for a server might read it.")
    return Bundle(path, manifest)


def verify(bundle: Bundle | str | Path, report: Report = lambda check: None) -> list[Check]:
    """Checks the files of a bundle and asks every artefact the stored queries again.

    Args:
        bundle: The bundle, or its folder.
        report: Called with each check as it is done.

    Returns:
        All checks, all passed.

    Raises:
        UserError: If a file is missing, truncated or edited.
        ZooError: If an artefact does not answer as the trained model did.
    """
    opened = open_bundle(bundle.folder if isinstance(bundle, Bundle) else bundle)
    checks = verify_artefacts(opened.folder, opened.endpoints, opened.formats, report)
    _raise_if_failed(checks, "Do not serve this bundle.")
    return checks


def _write(name: str, graphs: EndpointGraphs, vocabularies: dict[str, Vocabulary], folder: Path) -> None:
    try:
        WRITERS[name](graphs, vocabularies, folder)
    except ZooError:
        raise
    # Converters fail with errors of any kind.
    except Exception as error:
        raise ZooError(f"Cannot write {name}: {error}. Nothing was published.") from error


def _vocabularies(graphs: EndpointGraphs, run: Run) -> dict[str, Vocabulary]:
    """The vocabularies that some input or output of an endpoint is looked up in."""
    used = {
        info.vocabulary
        for endpoint in graphs.endpoints
        for info in (*endpoint.inputs, *endpoint.outputs)
        if info.vocabulary
    }
    return {name: vocabulary for name, vocabulary in run.dataset.vocabularies.items() if name in used}


def _raise_if_failed(checks: list[Check], consequence: str) -> None:
    failed = [check for check in checks if not check.passed]
    if failed:
        listed = "\n".join(f"  {check}" for check in failed)
        raise ZooError(f"{len(failed)} of {len(checks)} checks failed. {consequence}\n{listed}")


def _manifest(run: Run, graphs: EndpointGraphs, formats: tuple[str, ...], checks: list[Check]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "recipe": run.model.recipe,
        "family": type(run.model).__name__.lower(),
        "k": graphs.k,
        "formats": list(formats),
        "endpoints": {endpoint.name: endpoint.to_json() for endpoint in graphs.endpoints},
        "data": {"name": run.dataset.name, "notes": run.dataset.notes, "facts": run.dataset.facts},
        "metrics": run.metrics,
        "parity": [dataclasses.asdict(check) for check in checks],
        "reference": REFERENCE,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
