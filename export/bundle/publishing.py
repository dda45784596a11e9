"""A bundle: what export makes of a run, with a manifest, checksums and the proof that it is right."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np

from export.bundle.card import model_card
from export.bundle.measurements import artefact_facts, run_facts
from export.endpoints import Endpoint, EndpointGraphs
from export.formats import quantization, saved_model
from export.formats.onnx import writer as onnx
from export.formats.runtimes import ask
from export.formats.tflite import writer as tflite
from export.serving import tf_serving
from export.verification.comparison import TOP, Check, Report, verify_artefacts
from export.verification.queries import (
    Values,
    indexed,
    sample_queries,
    sample_requests,
    verification_queries,
    vocabularies_of,
)
from export.verification.reference import LARGEST_BATCH, KerasRuntime, save_sample, write_reference
from zoo.config import ExportConfig, change_export
from zoo.data.dataset import Dataset
from zoo.errors import UserError, ZooError, unknown_name
from zoo.families import Recommender
from zoo.files import check_free, describe_files, list_files, published_folder, read_manifest
from zoo.run import Run
from zoo.saving import write_recommender
from zoo.schema import FIRST_KNOWN, Vocabulary

MANIFEST = "manifest.json"
# The trained model itself, which a refresh of the catalogue starts from.
MODEL = "model"
# What was fitted to the data: schema, vocabularies, text encoders.
PREPROCESSING = "preprocessing"
# What to show a person for every known item.
TITLES = "titles.json"
FORMAT = 2
FORMATS = (saved_model.NAME, onnx.NAME, tflite.NAME)
PACKAGES = ("recozoo", "tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "ai-edge-litert", "numpy")


@dataclasses.dataclass(frozen=True)
class Options:
    """How a bundle is written.

    Args:
        formats: Some of `"saved_model"`, `"onnx"`, `"tflite"`.
        k: How many items `recommend` gives; by default 100, or the whole of a smaller catalogue.
        quantize: Some of `"float16"`, `"dynamic"`, `"int8"`: the smaller TFLite files to write too.
        batch: The batch size of TFLite files, whose lists then have a fixed length too; by default any size goes.
        allow_flex: Whether TFLite files may need the Flex delegate.
        opset: The operator set of ONNX files; by default one that every supported runtime knows.
        limits: What quantized artefacts may lose.
    """

    formats: tuple[str, ...] = FORMATS
    k: int | None = None
    quantize: tuple[str, ...] = ()
    batch: int | None = None
    allow_flex: bool = False
    opset: int | None = None
    limits: ExportConfig = dataclasses.field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        if not self.formats:
            raise UserError(f"No format was asked for. Valid: {', '.join(FORMATS)}.")
        for what, chosen, valid in (
            ("format", self.formats, FORMATS),
            ("quantization", self.quantize, quantization.VARIANTS),
        ):
            for name in chosen:
                if name not in valid:
                    raise unknown_name(what, name, valid)
        for_tflite = {"quantize": self.quantize, "batch": self.batch, "allow_flex": self.allow_flex}
        needless = [name for name, value in for_tflite.items() if value] if tflite.NAME not in self.formats else []
        if needless:
            raise UserError(f"{', '.join(needless)}: only for TFLite, which was not asked for.")
        if self.batch is not None and (isinstance(self.batch, bool) or self.batch < 1):
            raise UserError(f"batch must be at least 1. Received: {self.batch}.")
        if self.opset is not None and onnx.NAME not in self.formats:
            raise UserError("opset: only for ONNX, which was not asked for.")
        onnx.check_opset(self.opset)

    @property
    def artefacts(self) -> tuple[str, ...]:
        """What a bundle holds: its formats and the quantized TFLite files."""
        return (*self.formats, *(f"{tflite.NAME}-{variant}" for variant in self.quantize))

    def to_json(self) -> dict[str, Any]:
        """The options for the manifest."""
        return {**dataclasses.asdict(self), "limits": self.limits.model_dump()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Options:
        """The options that `to_json` described."""
        lists = {name: tuple(values[name]) for name in ("formats", "quantize")}
        return cls(**{**values, **lists, "limits": ExportConfig(**values["limits"])})


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
    def artefacts(self) -> tuple[str, ...]:
        """Its formats and the quantized TFLite files."""
        return tuple(self.manifest["artefacts"])

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its endpoints."""
        return tuple(Endpoint.from_json(name, values) for name, values in self.manifest["endpoints"].items())

    @property
    def version(self) -> str:
        """The version of its SavedModel."""
        return self.manifest["version"]

    @property
    def options(self) -> Options:
        """How it was written."""
        return Options.from_json(self.manifest["options"])


def export(
    run: Run | str | Path,
    out: str | Path,
    formats: str | Iterable[str] = FORMATS,
    *,
    k: int | None = None,
    quantize: str | Iterable[str] = (),
    batch: int | None = None,
    allow_flex: bool = False,
    opset: int | None = None,
    limits: Mapping[str, float] | None = None,
    overwrite: bool = False,
    report: Report = lambda check: None,
) -> Bundle:
    """Exports a run, verifies every artefact against the trained model, and publishes only if all agree.

    Args:
        run: The run, or the folder of one.
        out: The folder of the bundle, which appears whole or not at all.
        formats: Some of `"saved_model"`, `"onnx"`, `"tflite"`.
        k: How many items `recommend` gives; by default 100, or the whole of a smaller catalogue.
        quantize: Some of `"float16"`, `"dynamic"` (8-bit weights), `"int8"` (8-bit weights and layers): the smaller
            TFLite files to write too.
        batch: The batch size of TFLite files, for delegates and runtimes that need fixed sizes; lists then have
            the fixed length `export.formats.tflite.writer.LIST_LENGTH`. By default any size goes.
        allow_flex: Whether TFLite files may need the Flex delegate, where an operator is not built in.
        opset: The operator set of ONNX files, from 16 to 21.
        limits: What quantized artefacts may lose, by the names of `zoo.config.ExportConfig`; by default what the
            config of the run says.
        overwrite: Whether a bundle that is there may be replaced. The new one's version is one more, and the former
            SavedModel stays beside it for servers that still read it.
        report: Called with each check of the verification as it is done.

    Returns:
        The `Bundle`.

    Raises:
        UserError: For an unknown format or quantization, an option out of range, an output folder that exists, or
            a folder that holds no finished run.
        ZooError: If an artefact disagrees with the trained model, or cannot be written. Nothing is published then.

    Example:

    >>> export.export("runs/ncf", "bundles/ncf", formats=("onnx", "tflite"), quantize="dynamic")
    """
    options = Options(_chosen(formats), k, _chosen(quantize), batch, allow_flex, opset)
    check_free(Path(out), overwrite, MANIFEST)
    loaded = run if isinstance(run, Run) else Run.load(run)
    limit = change_export(loaded.config.export, limits or {})
    options = dataclasses.replace(options, limits=limit)
    sample = sample_queries(loaded.model, loaded.dataset)
    return publish_bundle(
        Path(out),
        loaded.model,
        loaded.dataset,
        sample,
        options,
        loaded.metrics,
        facts=run_facts(loaded),
        overwrite=overwrite,
        report=report,
    )


def publish_bundle(
    out: Path,
    model: Recommender,
    dataset: Dataset,
    sample: Values,
    options: Options,
    metrics: Mapping[str, Any],
    *,
    facts: Mapping[str, Any] | None = None,
    withdrawn: Sequence[int] = (),
    refreshed: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    report: Report = lambda check: None,
) -> Bundle:
    """Writes every artefact of a model, verifies them, and puts the bundle in its place by one rename.

    Args:
        out: The folder of the bundle.
        model: The trained model.
        dataset: What encodes raw values. Its interactions are not read.
        sample: What `sample_queries` gave.
        options: How it is written.
        metrics: The metrics of the run, for the model card.
        facts: What `run_facts` says of the run, for the model card; left out where nothing is known.
        withdrawn: Item indices that are never recommended.
        refreshed: For the manifest, if another catalogue was put into a bundle: how many items changed and how,
            and `from_version`, the version of that bundle, which the new one's is above.
        overwrite: Whether a bundle that is there may be replaced.
        report: Called with each check.

    Returns:
        The `Bundle`.
    """
    try:
        with published_folder(out, overwrite, MANIFEST) as folder:
            former = _last_version(out)
            version = max(former, int(refreshed["from_version"]) if refreshed else 0) + 1
            if saved_model.NAME in options.formats:
                _keep_former(out, folder, former)
            graphs = EndpointGraphs(model, dataset.vocabularies, options.k, withdrawn)
            vocabularies = vocabularies_of(graphs.endpoints, dataset.vocabularies)
            requests = {e.name: sample_requests(e, vocabularies["item"], sample) for e in graphs.endpoints}
            _write_artefacts(graphs, vocabularies, options, requests, folder, out.name, str(version))
            _write_model(model, dataset, folder)
            truth = KerasRuntime(model, dataset.vocabularies, graphs.k, withdrawn)
            sample = {**sample, "recommended": _recommended(truth, sample, vocabularies["item"])}
            save_sample(sample, folder)
            queries = {e.name: verification_queries(model, vocabularies, e, sample) for e in graphs.endpoints}
            write_reference(truth, queries, folder)
            manifest = _manifest(model, dataset, graphs, options, metrics, withdrawn, str(version))
            checks = _verify(folder, manifest, report)
            _raise_if_failed(checks, "Nothing was published.")
            manifest |= {"refreshed": dict(refreshed)} if refreshed else {}
            manifest["checks"] = [check.to_json() for check in checks]
            manifest |= facts or {}
            made = Bundle(folder, manifest)
            manifest["artefact_facts"] = artefact_facts(
                folder, made.endpoints, made.artefacts, made.version, requests["recommend"]
            )
            card = model_card(manifest, requests, out.name)
            (folder / "README.md").write_text(card, encoding="utf-8")
            manifest["files"] = describe_files(folder, but=MANIFEST)
            text = json.dumps(manifest, indent=2, ensure_ascii=False)
            (folder / MANIFEST).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ZooError(f"{out}: cannot be written ({error.strerror or error}). Nothing was published.") from error
    return Bundle(out, json.loads(text))


def open_bundle(folder: str | Path) -> Bundle:
    """The bundle in a folder.

    Raises:
        UserError: If there is none, or a file of it is missing, truncated, edited or was added.
    """
    path = Path(folder)
    keys = ("formats", "artefacts", "endpoints", "version", "options", "tflite")
    manifest = read_manifest(path, MANIFEST, "bundle", FORMAT, keys=keys)
    added = set(list_files(path, but=MANIFEST)) - manifest["files"].keys()
    if added:
        raise UserError(f"{path / min(added)}: not a file of this bundle. Remove it, for a server might read it.")
    opened = Bundle(path, manifest)
    try:
        is_sound = opened.endpoints and opened.artefacts == opened.options.artefacts
    except (KeyError, TypeError, ValueError, AttributeError):
        is_sound = False
    if not is_sound:
        raise UserError(f"{path / MANIFEST}: was edited and contradicts itself. Make the bundle anew.")
    return opened


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
    checks = _verify(opened.folder, opened.manifest, report)
    _raise_if_failed(checks, "Do not serve this bundle.")
    return checks


def _chosen(names: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([names] if isinstance(names, str) else names))


def _last_version(out: Path) -> int:
    """The largest version that is in a place; 0 where there is none."""
    there = [int(path.name) for path in (out / saved_model.NAME).glob("*") if path.name.isdecimal()]
    return max(there, default=0)


def _keep_former(out: Path, folder: Path, version: int) -> None:
    """Puts the version before beside the new one, so that a server that reads it is not disturbed."""
    former = out / saved_model.NAME / str(version)
    if former.is_dir():
        kept = folder / saved_model.NAME / former.name
        kept.parent.mkdir()
        try:
            shutil.copytree(former, kept, copy_function=os.link)
        except OSError:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(former, kept)


def _write_artefacts(
    graphs: EndpointGraphs,
    vocabularies: dict[str, Vocabulary],
    options: Options,
    requests: Mapping[str, Values],
    folder: Path,
    name: str,
    version: str,
) -> None:
    for format_name in options.formats:
        path = folder / format_name
        with _named(format_name):
            if format_name == saved_model.NAME:
                saved_model.write(graphs, vocabularies, path, version)
                tf_serving.write(path, graphs.model.architecture, name, graphs.endpoints, requests, version)
            elif format_name == onnx.NAME:
                onnx.write(graphs, vocabularies, path, opset=options.opset)
            else:
                tflite.write(
                    graphs,
                    vocabularies,
                    path,
                    quantize=options.quantize,
                    batch=options.batch,
                    allow_flex=options.allow_flex,
                    sample={e.name: indexed(e, requests[e.name], vocabularies) for e in graphs.endpoints},
                )


@contextlib.contextmanager
def _named(format_name: str) -> Iterator[None]:
    """Says which format could not be written, for converters fail with errors of any kind."""
    try:
        yield
    except (ZooError, OSError):
        raise
    except Exception as error:
        if os.strerror(errno.ENOSPC) in str(error):  # TensorFlow has errors of its own for this
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise ZooError(f"Cannot write {format_name}: {error}. Nothing was published.") from error


def _write_model(model: Recommender, dataset: Dataset, folder: Path) -> None:
    """The trained model, what encodes raw values, and titles."""
    (folder / MODEL).mkdir()
    write_recommender(model, folder / MODEL)
    (folder / PREPROCESSING).mkdir()
    dataset.save_preprocessing(folder / PREPROCESSING)
    titles = [str(title) for title in dataset.titles[FIRST_KNOWN:]]
    if titles and titles != [str(raw) for raw in dataset.vocabularies["item"].values]:
        (folder / TITLES).write_text(json.dumps(titles, ensure_ascii=False), encoding="utf-8")


def _recommended(truth: KerasRuntime, sample: Values, item: Vocabulary) -> np.ndarray:
    """What the trained model recommends to the sample of users: raw items `[users, TOP]` or fewer."""
    nothing = item.lookup(np.zeros((len(sample["exclude"]), 1), np.int32))
    return ask(truth, "recommend", {**sample, "candidates": nothing}, LARGEST_BATCH)["items"][:, :TOP]


def _verify(folder: Path, manifest: Mapping[str, Any], report: Report) -> list[Check]:
    fixed = manifest["tflite"]
    bundle = Bundle(folder, dict(manifest))
    return verify_artefacts(
        folder,
        bundle.endpoints,
        bundle.artefacts,
        bundle.options.limits,
        bundle.version,
        fixed["list_length"] if fixed else None,
        report,
    )


def _raise_if_failed(checks: list[Check], consequence: str) -> None:
    failed = [check for check in checks if not check.passed]
    if failed:
        listed = "\n".join(f"  {check}" for check in failed)
        raise ZooError(f"{len(failed)} of {len(checks)} checks failed. {consequence}\n{listed}")


def _manifest(
    model: Recommender,
    dataset: Dataset,
    graphs: EndpointGraphs,
    options: Options,
    metrics: Mapping[str, Any],
    withdrawn: Sequence[int],
    version: str,
) -> dict[str, Any]:
    fixed = {"batch": options.batch, "list_length": tflite.LIST_LENGTH} if options.batch else None
    return {
        "format": FORMAT,
        "version": version,
        "recipe": model.recipe,
        "family": model.family,
        "k": graphs.k,
        "formats": list(options.formats),
        "artefacts": list(options.artefacts),
        "options": options.to_json(),
        "tflite": fixed,
        "endpoints": {endpoint.name: endpoint.to_json() for endpoint in graphs.endpoints},
        "withdrawn": dataset.vocabularies["item"].lookup(np.array(withdrawn, np.int32)).tolist(),
        "data": {
            "name": dataset.name,
            "notes": dataset.notes,
            "facts": dataset.facts,
            **{f"{role}s": len(dataset.vocabularies[role]) for role in ("user", "item")},
        },
        "metrics": dict(metrics),
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}},
    }
