"""Puts the items of any tower model into an index of tensorflow-recommenders, inside a SavedModel.

tensorflow-recommenders needs Keras 2. A process chooses its Keras before it imports TensorFlow, and only once. So a
process of its own makes the index: `python -m export.serving.tfrs`.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import UserError, ZooError, unknown_name

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
    from tensorflow_recommenders.layers.factorized_top_k import TopK

    from export.bundle.bundle import Bundle
    from export.endpoints import Endpoint
    from export.values import Values
    from export.verification.check import Check
    from zoo.families import Recommender
    from zoo.run import Run
    from zoo.schema import Vocabulary

EXTRA = 'pip install "recozoo[tfrs]"'
INDEXES = ("brute_force", "scann")
# The file that every SavedModel has.
MARKER = "saved_model.pb"
# Queries that the index is asked at once when it is compared.
BATCH = 64
# The exit code of the process that makes the index if ScaNN does not load.
NO_SCANN = 3


@dataclasses.dataclass(frozen=True)
class Request:
    """What the process that makes an index is asked for."""

    bundle: str
    inputs: list[str]
    ids: list[str] | list[int]
    out: str
    k: int
    index: str
    searched: float
    mean: float
    std: float

    @classmethod
    def read(cls, scratch: Path) -> Request:
        """The request in a folder."""
        return cls(**json.loads((scratch / "request.json").read_text(encoding="utf-8")))

    def write(self, scratch: Path) -> None:
        """Writes the request into a folder."""
        (scratch / "request.json").write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")


def write(
    source: Bundle | Run | str | Path,
    folder: str | Path,
    k: int = 10,
    index: str = "brute_force",
    *,
    searched: float = 0.25,
    overwrite: bool = False,
) -> Check:
    """Writes a SavedModel of the query tower and an index of the item vectors, and compares it with the trained model.

    Its signature `recommend`, which is `serving_default` too, takes the raw query inputs of the bundle's `recommend`.
    It gives `items [batch, k]`, `scores [batch, k]` and the `unknown_*` of the inputs. An index filters nothing by
    query, so there is no `exclude` and no `candidates`.

    Args:
        source: A bundle with a SavedModel, a run, or the folder of either.
        folder: Where the SavedModel goes. It appears whole or not at all.
        k: How many items an answer has.
        index: `"brute_force"`, which is exact, or `"scann"` (Guo et al., 2020, arXiv:1908.10396), which is
            approximate. ScaNN needs the package scann, both here and where the SavedModel is served.
        searched: The share of a ScaNN index that a query searches, above 0 and at most 1. A larger share finds more
            and takes longer.
        overwrite: Whether an existing SavedModel may be replaced.

    Returns:
        The `Check`. A brute-force index has the ranks of the model, and its check says how far its scores are
        from the model's. The check of a ScaNN index says how many of the model's top 10 it finds.

    Raises:
        UserError: If the source is no tower model, has no SavedModel or fewer than `k` items, or a package is missing.
        ZooError: If the index does not answer as the model does. Nothing is written then.

    Example:

    ```python
    write("bundles/mf", "indexes/mf", k=20)
    answer = tf.saved_model.load("indexes/mf").signatures["recommend"](user=tf.constant([15]))
    ```
    """
    from export.bundle.catalogue import load_trained
    from export.formats import saved_model
    from export.verification.reference import load_reference
    from zoo.files import check_free, published_folder

    _check_index(index, searched)
    out = Path(folder)
    check_free(out, overwrite, MARKER)
    with tempfile.TemporaryDirectory() as scratch, published_folder(out, overwrite, MARKER) as made:
        bundle = _bundle_of(source, Path(scratch))
        _check_bundle(bundle)
        model, dataset = load_trained(bundle.folder)
        recommended = _recommended_items(bundle, dataset.vocabularies["item"])
        if isinstance(k, bool) or not 1 <= k <= len(recommended):
            raise UserError(f"k must be between 1 and the {len(recommended)} items to recommend. Received: {k}.")
        mean, std = model.rating_scale
        request = Request(
            bundle=str((bundle.folder / saved_model.NAME / bundle.version).resolve()),
            inputs=list(model.query_names),
            ids=dataset.vocabularies["item"].lookup(recommended).tolist(),
            out=str(made.resolve()),
            k=k,
            index=index,
            searched=searched,
            mean=mean,
            std=std,
        )
        queries = load_reference(bundle.folder)["embed_query"][0][0]
        answers = _run(Path(scratch), request, np.asarray(model.encode_items(recommended)), queries)
        check = _compare(bundle, model, dataset.vocabularies, request, queries, answers)
        if not check.passed:
            raise ZooError(f"The index does not answer as the trained model does. Nothing was written.\n  {check}")
    return check


def _check_index(index: str, searched: float) -> None:
    if index not in INDEXES:
        raise unknown_name("index", index, INDEXES)
    if not 0 < searched <= 1:
        raise UserError(f"searched must be above 0 and at most 1. Received: {searched}.")
    missing = [name for name in ("tensorflow_recommenders", "tf_keras") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"An index needs {' and '.join(missing)}, not installed here: {EXTRA}.")
    if index == "scann" and importlib.util.find_spec("scann") is None:
        raise UserError('The index scann needs the package scann, not installed here: pip install "scann[tf]".')


def _bundle_of(source: Bundle | Run | str | Path, scratch: Path) -> Bundle:
    """The bundle. A run is exported first."""
    from export.bundle.bundle import Bundle, open_bundle
    from export.bundle.publishing import export
    from export.formats import saved_model
    from zoo.run import Run

    if isinstance(source, Run) or (not isinstance(source, Bundle) and (Path(source) / "run.json").exists()):
        return export(source, scratch / "bundle", saved_model.NAME)
    return open_bundle(source.folder if isinstance(source, Bundle) else source)


def _check_bundle(bundle: Bundle) -> None:
    from export.formats import saved_model

    if "embed_query" not in bundle.manifest["endpoints"]:
        raise UserError(
            f"{bundle.manifest['recipe']['name']} is of the family {bundle.manifest['family']}: its items have no "
            "vectors to put into an index. Choose an architecture of the family towers (zoo list)."
        )
    if saved_model.NAME not in bundle.formats:
        raise UserError(f"{bundle.folder}: has no SavedModel to take the query tower from. Export that format too.")


def _recommended_items(bundle: Bundle, item: Vocabulary) -> np.ndarray:
    """The indices of all items except those that are withdrawn."""
    from zoo.schema import FIRST_KNOWN

    known = np.arange(FIRST_KNOWN, item.size, dtype=np.int32)
    return np.setdiff1d(known, item.index(bundle.manifest["withdrawn"]))


def _run(scratch: Path, request: Request, vectors: np.ndarray, queries: Values) -> Values:
    """The answers to some queries of an index that a process of its own makes."""
    from export.values import storable, stored
    from zoo.arrays import load_arrays, save_arrays

    np.save(scratch / "vectors.npy", vectors)
    save_arrays(scratch / "queries.npz", {name: storable(values) for name, values in queries.items()})
    request.write(scratch)
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "export.serving.tfrs", str(scratch)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode == NO_SCANN:
        raise _other_tensorflow(ran.stdout.strip())
    if ran.returncode:
        raise ZooError(f"The index could not be made. Nothing was written.\n{ran.stderr.strip()[-2000:]}")
    return {name: stored(values) for name, values in load_arrays(scratch / "answers.npz").items()}


def _other_tensorflow(said: str) -> UserError:
    asked = [line.partition(";")[0] for line in importlib.metadata.requires("scann") or () if "tensorflow" in line]
    return UserError(
        f"scann {importlib.metadata.version('scann')} does not load with TensorFlow "
        f"{importlib.metadata.version('tensorflow')}; it asks for {' and '.join(asked) or 'another one'}. Install "
        f"that one, or use the index brute_force. ({said})"
    )


def _compare(
    bundle: Bundle,
    model: Recommender,
    vocabularies: dict[str, Vocabulary],
    request: Request,
    queries: Values,
    answers: Values,
) -> Check:
    """Compares the answers of the index with the trained model's."""
    from export.formats.base import ask
    from export.verification.comparison import compare, compare_quantized
    from export.verification.reference import KerasRuntime

    item = vocabularies["item"]
    nothing = item.lookup(np.zeros((len(answers["items"]), 1), np.int32))
    asked = {**queries, "exclude": nothing, "candidates": nothing}
    withdrawn = item.index(bundle.manifest["withdrawn"]).tolist()
    truth = KerasRuntime(model, vocabularies, request.k, withdrawn)
    expected = {name: value for name, value in ask(truth, "recommend", asked, BATCH).items() if name in answers}
    compare_index = compare_quantized if request.index == "scann" else compare
    endpoint = _without_lists(bundle, answers)
    groups = [(asked, expected, answers)]
    return compare_index(f"tfrs-{request.index}", endpoint, BATCH, groups, bundle.options.limits)


def _without_lists(bundle: Bundle, answers: Values) -> Endpoint:
    """The endpoint `recommend` of the bundle, of whose outputs an index has those in `answers`."""
    recommend = next(endpoint for endpoint in bundle.endpoints if endpoint.name == "recommend")
    return dataclasses.replace(recommend, outputs=tuple(info for info in recommend.outputs if info.name in answers))


# The process with Keras 2


def make_index(scratch: Path) -> None:
    """Writes the SavedModel that `request.json` asks for, and its answers to `queries.npz`."""
    request = Request.read(scratch)
    if request.index == "scann":
        _check_scann()
    else:
        # A ScaNN that does not load would keep tensorflow-recommenders from being imported at all.
        sys.modules["scann"] = None  # type: ignore[assignment]
    import tensorflow as tf

    ids = tf.constant(request.ids, tf.string if isinstance(request.ids[0], str) else tf.int64)
    module = tf.Module()
    module.bundle = tf.saved_model.load(request.bundle)
    module.index = _empty_index(request).index(tf.constant(np.load(scratch / "vectors.npy")), ids)
    embed = module.bundle.signatures["embed_query"]

    def recommend(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = embed(**dict(zip(request.inputs, values, strict=True)))
        scores, items = module.index(answer.pop("vectors"))
        return {"items": items, "scores": request.mean + request.std * scores, **answer}

    specs = embed.structured_input_signature[1]
    signature = [specs[name] for name in request.inputs]
    function = tf.function(recommend, input_signature=signature).get_concrete_function()
    signatures = {"recommend": function, "serving_default": function}
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(module, request.out, signatures, options)
    _answer(tf.saved_model.load(request.out).signatures["recommend"], scratch)


def _check_scann() -> None:
    try:
        import scann  # noqa: F401
    except Exception as error:  # One of TensorFlow's own, if the library asks for symbols of another TensorFlow.
        print(str(error).splitlines()[0])
        sys.exit(NO_SCANN)


def _empty_index(request: Request) -> TopK:
    from tensorflow_recommenders.layers import factorized_top_k

    k, size = request.k, len(request.ids)
    if request.index == "brute_force":
        return factorized_top_k.BruteForce(k=k)
    # A choice of leaves costs as much as reading one leaf if there are as many leaves as items in one.
    leaves = max(1, round(size**0.5))
    return factorized_top_k.ScaNN(
        k=k,
        num_leaves=leaves,
        num_leaves_to_search=max(min(leaves, 10), round(leaves * request.searched)),
        num_reordering_candidates=min(size, max(100, 10 * k)),
    )


def _answer(recommend: ConcreteFunction, scratch: Path) -> None:
    import tensorflow as tf

    with np.load(scratch / "queries.npz") as arrays:
        queries = {name: arrays[name] for name in arrays.files}
    dtypes = {name: spec.dtype for name, spec in recommend.structured_input_signature[1].items()}

    def ask(start: int) -> dict[str, np.ndarray]:
        part = {name: values[start : start + BATCH].tolist() for name, values in queries.items()}
        answer = recommend(**{name: tf.constant(values, dtypes[name]) for name, values in part.items()})
        return {name: value.numpy() for name, value in answer.items()}

    answers = [ask(start) for start in range(0, len(next(iter(queries.values()))), BATCH)]
    joined = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    if joined["items"].dtype == object:
        joined["items"] = np.char.decode(joined["items"].astype(bytes), "utf-8")
    np.savez(scratch / "answers.npz", **joined)  # type: ignore[arg-type]


if __name__ == "__main__":
    make_index(Path(sys.argv[1]))
