"""Writing, verifying and publishing bundles."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.bundle import manifest as manifests
from export.bundle.bundle import MODEL, PREPROCESSING, TITLES, Bundle, open_bundle
from export.bundle.card import model_card
from export.bundle.manifest import Manifest, RunFacts
from export.bundle.measurements import artefact_facts, run_facts
from export.bundle.options import Options, names_of, option_values
from export.bundle.signing import check_signature, read_private_key
from export.bundle.signing import sign as write_signature
from export.endpoints import EndpointGraphs
from export.formats.base import FORMATS, Format, OptionValue, Source, ask
from export.values import Values, vocabularies_of
from export.verification.artefacts import verify_artefacts
from export.verification.check import Check, Report, raise_if_failed
from export.verification.comparison import TOP
from export.verification.queries import sample_queries, sample_requests, verification_queries
from export.verification.reference import LARGEST_BATCH, KerasRuntime, save_sample, write_reference
from zoo.config import changed
from zoo.data.dataset import Dataset
from zoo.errors import ZooError
from zoo.evaluation.evaluation import EvaluationJson
from zoo.families import Recommender
from zoo.files import check_free, describe_files, published_folder
from zoo.locks import locked
from zoo.run import Run
from zoo.saving import write_recommender
from zoo.schema import FIRST_KNOWN, Vocabulary

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Packages whose versions every manifest notes. It also notes those of its formats.
PACKAGES = ("recozoo", "tensorflow", "keras", "numpy")


def export(
    run: Run | str | Path,
    out: str | Path,
    formats: str | Iterable[str] | None = None,
    *,
    k: int | None = None,
    quantize: str | Iterable[str] = (),
    batch: int | None = None,
    allow_flex: bool = False,
    opset: int | None = None,
    limits: Mapping[str, float] | None = None,
    overwrite: bool = False,
    sign: str | Path | None = None,
    report: Report = lambda check: None,
    **others: OptionValue,
) -> Bundle:
    """Exports a run, verifies every artefact against the trained model, and publishes only if all agree.

    Args:
        run: The run, or the folder of one.
        out: The folder of the bundle, which appears whole or not at all.
        formats: Names of formats, e.g. `"saved_model"`, `"onnx"`, `"tflite"`. By default these are all registered ones.
        k: How many items `recommend` gives. By default it is 100, or the whole of a smaller catalogue.
        quantize: Some of `"float16"`, `"dynamic"` (8-bit weights), `"int8"` (8-bit weights and layers): the smaller
            TFLite files to write too.
        batch: The batch size of TFLite files, for delegates and runtimes that need fixed sizes. Lists then have
            the fixed length `export.formats.tflite.LIST_LENGTH`. By default any size goes.
        allow_flex: Whether TFLite files may need the Flex delegate, if an operator is not built in.
        opset: The operator set of ONNX files, from 16 to 21.
        limits: What quantized artefacts may lose, by the names of `zoo.config.ExportConfig`. By default the config of
            the run says it.
        overwrite: Whether a bundle that is there may be replaced. The version of the new one is one more, and the
            former SavedModel stays beside it, because servers may still read it.
        sign: The PEM file of the Ed25519 key to sign the bundle with, see `export.bundle.signing`.
        report: Called with each check of the verification as it is done.
        others: Options of formats of your own.

    Returns:
        The `Bundle`.

    Raises:
        UserError: If a format or quantization is unknown, an option is out of range, the output folder exists or is
            written by another process, or the folder of the run holds no finished run.
        ZooError: If an artefact disagrees with the trained model, or cannot be written. Nothing is published then.

    Example:

    ```python
    export.export("runs/ncf", "bundles/ncf", formats=("onnx", "tflite"), quantize="dynamic")
    ```
    """
    given = {"quantize": quantize, "batch": batch, "allow_flex": allow_flex, "opset": opset, **others}
    key = None if sign is None else read_private_key(Path(sign))
    options = Options(tuple(FORMATS) if formats is None else names_of(formats), k, option_values(given))
    with locked(Path(out)) as folder:
        check_free(folder, overwrite, manifests.NAME)
        loaded = run if isinstance(run, Run) else Run.load(run)
        options = dataclasses.replace(options, limits=changed(loaded.config.export, limits or {}, "export"))
        sample = sample_queries(loaded.model, loaded.dataset)
        published = publish_bundle(
            folder,
            loaded.model,
            loaded.dataset,
            sample,
            options,
            loaded.metrics,
            facts=run_facts(loaded),
            overwrite=overwrite,
            key=key,
            report=report,
        )
    return dataclasses.replace(published, folder=Path(out))


def publish_bundle(
    out: Path,
    model: Recommender,
    dataset: Dataset,
    sample: Values,
    options: Options,
    metrics: Mapping[str, EvaluationJson],
    *,
    facts: RunFacts | None = None,
    withdrawn: Sequence[int] = (),
    refreshed: Mapping[str, int | str] | None = None,
    overwrite: bool = False,
    key: Ed25519PrivateKey | None = None,
    report: Report = lambda check: None,
) -> Bundle:
    """Writes every artefact of a model, verifies them, and puts the bundle in its place by one rename.

    Whoever calls it holds the lock of the output, so that no version is taken twice.

    Args:
        out: The folder of the bundle.
        model: The trained model.
        dataset: What encodes raw values. Its interactions are not read.
        sample: What `sample_queries` gave.
        options: How it is written.
        metrics: The metrics of the run, for the model card.
        facts: What `run_facts` says of the run, for the model card. It is left out if nothing is known.
        withdrawn: Item indices that are never recommended.
        refreshed: If another catalogue was put into a bundle, how many items changed and how, for the manifest, and
            `from_version`, the version of that bundle. The version of the new one is above it.
        overwrite: Whether a bundle that is there may be replaced.
        key: The key to sign it with.
        report: Called with each check.

    Returns:
        The `Bundle`.
    """
    with _as_one_error(out), published_folder(out, overwrite, manifests.NAME) as folder:
        version = _next_version(out, refreshed or {})
        graphs = EndpointGraphs(model, dataset.vocabularies, options.k, withdrawn)
        vocabularies = vocabularies_of(graphs.endpoints, dataset.vocabularies)
        requests = {e.name: sample_requests(e, vocabularies["item"], sample) for e in graphs.endpoints}
        _write_formats(folder, Source(graphs, vocabularies, requests, out.name, version, out), options)
        _write_model(model, dataset, folder)
        _write_reference(model, dataset, graphs, sample, withdrawn, folder)
        manifest = _manifest(model, dataset, graphs, options, metrics, withdrawn, version)
        made = Bundle(folder, manifest)
        checks = _verify(made, report)
        raise_if_failed(checks, "Nothing was published.")
        if refreshed:
            manifest["refreshed"] = dict(refreshed)
        manifest["checks"] = [check.to_json() for check in checks]
        if facts:
            manifest.update(facts)  # type: ignore[typeddict-item]
        manifest["artefact_facts"] = artefact_facts(
            folder, made.endpoints, made.artefacts, version, requests["recommend"]
        )
        (folder / "README.md").write_text(model_card(manifest, requests, out.name), encoding="utf-8")
        manifest["files"] = describe_files(folder, but=manifests.NAME)  # type: ignore[typeddict-item]
        manifest = manifests.write(manifest, folder)
        if key is not None:
            write_signature(folder, key)
    return Bundle(out, manifest)


def verify(
    bundle: Bundle | str | Path, report: Report = lambda check: None, *, trusted: str | Path | None = None
) -> list[Check]:
    """Checks the files of a bundle and asks every artefact the stored queries again.

    Args:
        bundle: The bundle, or its folder.
        report: Called with each check as it is done.
        trusted: A public key in PEM, or a folder of them. One of them must have signed the bundle.

    Returns:
        All checks, all passed.

    Raises:
        UserError: If a file is missing, truncated or edited, no trusted key signed the bundle, or a SavedModel has
            operations that no endpoint needs, such as one that writes files. It is not run then.
        ZooError: If an artefact does not answer as the trained model did.
    """
    folder = bundle.folder if isinstance(bundle, Bundle) else Path(bundle)
    opened = open_bundle(folder)
    if trusted is not None:
        check_signature(folder, Path(trusted))
    checks = _verify(opened, report)
    raise_if_failed(checks, "Do not serve this bundle.")
    return checks


@contextlib.contextmanager
def _as_one_error(out: Path) -> Iterator[None]:
    """Says which bundle could not be written, if the disk is full or closed to us."""
    try:
        yield
    except OSError as error:
        raise ZooError(f"{out}: cannot be written ({error.strerror or error}). Nothing was published.") from error


def _next_version(out: Path, refreshed: Mapping[str, int | str]) -> str:
    """The version above those in the output folder and above that of the bundle that is refreshed."""
    former = [made.last_version(out / name) for name, made in FORMATS.items()]
    return str(max(*former, manifests.version_of(out), int(refreshed.get("from_version", 0))) + 1)


def _write_formats(folder: Path, source: Source, options: Options) -> None:
    for made in options.chosen:
        with _named(made.name):
            made.write(folder / made.name, source, options.of(made))


@contextlib.contextmanager
def _named(format_name: str) -> Iterator[None]:
    """Says which format could not be written, because converters fail with errors of any kind."""
    try:
        yield
    except (ZooError, OSError):
        raise
    except Exception as error:
        # TensorFlow has errors of its own when a disk is full.
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise ZooError(f"Cannot write {format_name}: {error}. Nothing was published.") from error


def _write_model(model: Recommender, dataset: Dataset, folder: Path) -> None:
    """Writes the trained model, what encodes raw values, and titles."""
    (folder / MODEL).mkdir()
    write_recommender(model, folder / MODEL)
    (folder / PREPROCESSING).mkdir()
    dataset.save_preprocessing(folder / PREPROCESSING)
    titles = [str(title) for title in dataset.titles[FIRST_KNOWN:]]
    if titles and titles != [str(raw) for raw in dataset.vocabularies["item"].values]:
        (folder / TITLES).write_text(json.dumps(titles, ensure_ascii=False), encoding="utf-8")


def _write_reference(
    model: Recommender,
    dataset: Dataset,
    graphs: EndpointGraphs,
    sample: Values,
    withdrawn: Sequence[int],
    folder: Path,
) -> None:
    """Writes the queries of the verification and what the trained model answers."""
    truth = KerasRuntime(model, dataset.vocabularies, graphs.k, withdrawn)
    sample = {**sample, "recommended": _recommended(truth, sample, dataset.vocabularies["item"])}
    save_sample(sample, folder)
    queries = {e.name: verification_queries(model, dataset.vocabularies, e, sample) for e in graphs.endpoints}
    write_reference(truth, queries, folder)


def _recommended(truth: KerasRuntime, sample: Values, item: Vocabulary) -> np.ndarray:
    """What the trained model recommends to the sample of users: raw items `[users, TOP]` or fewer."""
    nothing = item.lookup(np.zeros((len(sample["exclude"]), 1), np.int32))
    return ask(truth, "recommend", {**sample, "candidates": nothing}, LARGEST_BATCH)["items"][:, :TOP]


def _verify(bundle: Bundle, report: Report) -> list[Check]:
    options = bundle.options
    return verify_artefacts(
        bundle.folder,
        bundle.endpoints,
        bundle.artefacts,
        options.limits,
        bundle.version,
        {made.name: made.longest_list(options.of(made)) for made in options.chosen},
        report,
    )


def _manifest(
    model: Recommender,
    dataset: Dataset,
    graphs: EndpointGraphs,
    options: Options,
    metrics: Mapping[str, EvaluationJson],
    withdrawn: Sequence[int],
    version: str,
) -> Manifest:
    item = dataset.vocabularies["item"]
    manifest: Manifest = {
        "format": manifests.FORMAT,
        "version": version,
        "recipe": model.recipe,
        "family": model.family,
        "k": graphs.k,
        "formats": list(options.formats),
        "artefacts": list(options.artefacts),
        "options": options.to_json(),
        "endpoints": {endpoint.name: endpoint.to_json() for endpoint in graphs.endpoints},
        "withdrawn": item.lookup(np.array(withdrawn, np.int32)).tolist(),
        "data": {
            "name": dataset.name,
            "notes": dataset.notes,
            "facts": dataset.facts,
            "users": len(dataset.vocabularies["user"]),
            "items": len(item),
        },
        "metrics": dict(metrics),
        "versions": {"python": platform.python_version(), **_versions(options.chosen)},
    }
    manifest.update(_noted(options))  # type: ignore[typeddict-item]
    return manifest


def _versions(formats: Iterable[Format]) -> dict[str, str]:
    """The versions of all packages that a bundle depends on."""
    packages = dict.fromkeys((*PACKAGES, *(package for made in formats for package in made.packages)))
    return {name: version_of(name) for name in packages}


def _noted(options: Options) -> dict[str, dict[str, OptionValue]]:
    """What formats say under their own names."""
    noted = {made.name: made.noted(options.of(made)) for made in options.chosen}
    return {name: dict(values) for name, values in noted.items() if values}
