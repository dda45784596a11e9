"""Verification must catch every way in which an artefact can differ from the trained model."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import onnx
import pytest

import export
from export.endpoints import EndpointGraphs
from export.formats.saved_model import writer as saved_model
from export.formats.tflite import writer as tflite
from export.verification import artefacts as verification
from export.verification.artefacts import verify_artefacts
from export.verification.reference import REFERENCE, SAMPLE, KerasRuntime, load_reference, load_sample, write_reference
from zoo.config import ExportConfig
from zoo.families import Recommender
from zoo.run import Run


def failed(folder, bundle, format_name) -> set[str]:
    """The endpoints of an artefact that verification finds wrong."""
    checks = verify_artefacts(folder, bundle.endpoints, (format_name,), ExportConfig())
    return {check.endpoint for check in checks if not check.passed}


# Planted in the artefact


def rewrite_attached_vocabularies(path, change):
    content = path.read_bytes()
    with zipfile.ZipFile(path) as attached:
        vocabularies = json.loads(attached.read(tflite.VOCABULARIES))
        model = content[: attached.infolist()[0].header_offset]
    change(vocabularies)
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as attached:
        attached.writestr(tflite.VOCABULARIES, json.dumps(vocabularies))


@pytest.mark.parametrize("vocabulary", ["user", "item"])
def test_two_swapped_values_in_the_vocabularies_attached_to_tflite_are_caught(damaged, bundle, vocabulary):
    def swap(vocabularies):
        values = vocabularies[vocabulary]["values"]
        values[2], values[5] = values[5], values[2]

    rewrite_attached_vocabularies(damaged / "tflite" / tflite.FILE, swap)
    others = {"user": {"embed_query"}, "item": {"embed_items"}}
    assert failed(damaged, bundle, "tflite") == {"recommend", "score", *others[vocabulary]}


def test_vocabularies_attached_again_unchanged_pass(damaged, bundle):
    rewrite_attached_vocabularies(damaged / "tflite" / tflite.FILE, lambda vocabularies: None)
    assert failed(damaged, bundle, "tflite") == set()


def label_encoder(model, tensor):
    """The node that looks a tensor up in its vocabulary."""
    return next(node for node in model.graph.node if node.op_type == "LabelEncoder" and tensor in node.input)


def attribute(node, name):
    return next(attribute for attribute in node.attribute if attribute.name == name)


@pytest.mark.parametrize(
    ("endpoint", "tensor"),
    [("score", "user"), ("score", "items"), ("recommend", "item__raw"), ("embed_items", "items")],
)
def test_two_swapped_keys_in_an_onnx_label_encoder_are_caught(damaged, bundle, endpoint, tensor):
    path = damaged / "onnx" / f"{endpoint}.onnx"
    model = onnx.load(path)
    strings = attribute(label_encoder(model, tensor), "keys_strings").strings
    strings[3], strings[6] = strings[6], strings[3]
    onnx.save(model, path)
    assert failed(damaged, bundle, "onnx") == {endpoint}


def test_two_swapped_ids_in_what_onnx_answers_are_caught(damaged, bundle):
    path = damaged / "onnx" / "recommend.onnx"
    model = onnx.load(path)
    (values,) = (tensor for tensor in model.graph.initializer if tensor.name == "item__values")
    values.string_data[3], values.string_data[6] = values.string_data[6], values.string_data[3]
    onnx.save(model, path)
    assert failed(damaged, bundle, "onnx") == {"recommend"}


@pytest.mark.parametrize("tensor", ["exclude", "candidates"])
def test_an_input_that_onnx_takes_for_padding_is_caught(damaged, bundle, tensor):
    path = damaged / "onnx" / "recommend.onnx"
    model = onnx.load(path)
    for node in model.graph.node:
        node.input[:] = [f"{name}__nothing" if name == f"{tensor}__index" else name for name in node.input]
    place = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Split") + 1
    index = f"{tensor}__index"
    model.graph.node.insert(place, onnx.helper.make_node("Sub", [index, index], [f"{index}__nothing"]))
    onnx.save(model, path)
    assert failed(damaged, bundle, "onnx") == {"recommend"}


def test_unknown_ids_that_onnx_takes_for_a_known_one_are_caught(damaged, bundle):
    path = damaged / "onnx" / "score.onnx"
    model = onnx.load(path)
    attribute(label_encoder(model, "user"), "default_int64").i = 2
    onnx.save(model, path)
    assert failed(damaged, bundle, "onnx") == {"score"}


# Planted in what an artefact is made of


@pytest.fixture
def write_saved_model(run, bundle, tmp_path):
    """Writes a SavedModel of (changed) graphs beside the reference of the model as it was trained."""

    def write(change=lambda graphs: None):
        graphs = EndpointGraphs(run.model, run.dataset.vocabularies)
        change(graphs)
        saved_model.write(graphs, run.dataset.vocabularies, tmp_path / "saved_model")
        for file in (REFERENCE, SAMPLE):
            shutil.copy(bundle.folder / file, tmp_path)
        return tmp_path

    return write


MASKS = {
    "exclude is ignored": lambda exclude, candidates: (exclude * 0, candidates),
    "candidates are ignored": lambda exclude, candidates: (exclude, candidates * 0),
    "both are mistaken for each other": lambda exclude, candidates: (candidates, exclude),
    "only the first excluded item counts": lambda exclude, candidates: (exclude[:, :1], candidates),
}


@pytest.mark.parametrize("mask", MASKS)
def test_a_wrong_mask_is_caught(write_saved_model, bundle, monkeypatch, mask):
    right = Recommender.rank

    def rank(self, k, query, exclude, candidates, *others):
        return right(self, k, query, *MASKS[mask](exclude, candidates), *others)

    monkeypatch.setattr(Recommender, "rank", rank)
    assert failed(write_saved_model(), bundle, "saved_model") == {"recommend"}


def test_a_flipped_sign_of_the_scores_is_caught(write_saved_model, bundle):
    folder = write_saved_model(lambda graphs: graphs.catalogue[0].assign(-graphs.catalogue[0]))
    assert failed(folder, bundle, "saved_model") == {"recommend", "score", "embed_items"}


@pytest.mark.parametrize(("shift", "endpoints"), [(2e-5, {"recommend", "score", "embed_items"}), (1e-7, set())])
def test_item_biases_may_be_off_by_rounding_and_no_more(write_saved_model, bundle, shift, endpoints):
    def add(graphs):
        bias = np.zeros(graphs.catalogue[0].shape, np.float32)
        bias[:, -1] = shift
        graphs.catalogue[0].assign_add(bias)

    assert failed(write_saved_model(add), bundle, "saved_model") == endpoints


def test_a_stale_weight_is_caught(run, bundle, tmp_path):
    trained = Run.load(run.save(tmp_path / "run"))
    vocabularies = trained.dataset.vocabularies
    graphs = EndpointGraphs(trained.model, vocabularies)
    tflite.write(graphs, vocabularies, tmp_path / "tflite")
    shutil.copy(bundle.folder / SAMPLE, tmp_path)
    queries = {name: [inputs for inputs, _ in groups] for name, groups in load_reference(bundle.folder).items()}
    write_reference(KerasRuntime(trained.model, vocabularies, graphs.k), queries, tmp_path)
    assert failed(tmp_path, bundle, "tflite") == set()

    item_biases = next(weight for weight in trained.model.weights if weight.shape == (graphs.catalogue[0].shape[0], 1))
    values = item_biases.numpy()
    values[7] += 0.001
    item_biases.assign(values)
    write_reference(KerasRuntime(trained.model, vocabularies, graphs.k), queries, tmp_path)
    assert failed(tmp_path, bundle, "tflite") == {"recommend", "score", "embed_items"}


def test_a_wrong_flag_of_the_unknown_is_caught(write_saved_model, bundle, monkeypatch):
    monkeypatch.setattr("export.endpoints.UNKNOWN", 2)
    assert failed(write_saved_model(), bundle, "saved_model") == {"recommend", "score", "embed_query", "embed_items"}


@pytest.mark.parametrize(("change", "passes"), [(2e-5, False), (-2e-5, False), (1e-7, True)])
@pytest.mark.parametrize("endpoint", ["recommend", "score"])
def test_one_score_of_all_may_be_off_by_rounding_and_no_more(damaged, bundle, endpoint, change, passes):
    with np.load(damaged / REFERENCE) as stored:
        arrays = dict(stored)
    arrays[f"{endpoint}/0/outputs/scores"][51, 3] += np.float32(change)
    np.savez(damaged / REFERENCE, **arrays)
    checks = verify_artefacts(damaged, bundle.endpoints, ("onnx",), ExportConfig())
    assert {check.endpoint for check in checks if not check.passed} == (set() if passes else {endpoint})
    if not passes:
        largest = {check.figure for check in checks if check.endpoint == endpoint}
        assert all(1e-5 < difference < 3e-5 for difference in largest)


# Planted in a quantized artefact, which is judged by what it recommends


@pytest.fixture(scope="module")
def quantized(run, tmp_path_factory) -> export.Bundle:
    out = tmp_path_factory.mktemp("quantized") / "mf"
    limits = {"overlap": 0.5, "ndcg_loss": 1, "error": 0.2}
    return export.export(run, out, "tflite", k=12, quantize="dynamic", limits=limits)


class Planted:
    """A runtime that answers as another does, except where a test changes the answer."""

    def __init__(self, runtime, change):
        self.runtime, self.change = runtime, change

    def run(self, endpoint, inputs):
        return self.change(endpoint, inputs, self.runtime.run(endpoint, inputs))


def reversed_order(endpoint, inputs, answer):
    if endpoint == "recommend":
        has_empty = (answer["items"] == "").any(axis=1, keepdims=True)
        answer["items"] = np.where(has_empty, answer["items"], answer["items"][:, ::-1])
    return answer


def others_first(endpoint, inputs, answer):
    if endpoint == "recommend":
        known = sorted({*answer["items"].ravel()} - {""})
        for row, items in enumerate(answer["items"].tolist()):
            if "" not in items:
                answer["items"][row] = [*(item for item in known if item not in items), *items][: len(items)]
    return answer


def excluded_first(endpoint, inputs, answer):
    if endpoint == "recommend":
        answer["items"] = np.where(inputs["exclude"][:, :1] != "", inputs["exclude"][:, :1], answer["items"])
    return answer


def twice(endpoint, inputs, answer):
    if endpoint == "recommend":
        answer["items"][:, 1] = answer["items"][:, 0]
    return answer


def not_chosen(endpoint, inputs, answer):
    if endpoint == "recommend":
        answer["items"] = np.where(answer["items"] != "", "item 0", "")
    return answer


def flipped(endpoint, inputs, answer):
    return {name: -values if name in ("scores", "vectors") else values for name, values in answer.items()}


def flags(endpoint, inputs, answer):
    return {name: 1 - values if name.startswith("unknown_") else values for name, values in answer.items()}


PLANTED = {
    others_first: ({"recommend"}, "overlap"),
    excluded_first: ({"recommend"}, "an excluded item is there"),
    twice: ({"recommend"}, "an item is there twice"),
    not_chosen: ({"recommend"}, "not among the candidates"),
    flipped: ({"score", "embed_query", "embed_items"}, "error"),
    flags: ({"recommend", "score", "embed_query", "embed_items"}, "differs"),
}


@pytest.mark.parametrize("change", PLANTED, ids=lambda change: change.__name__)
def test_an_error_planted_in_a_quantized_artefact_is_caught(quantized, monkeypatch, change):
    right = verification.open_runtime
    monkeypatch.setattr(verification, "open_runtime", lambda *where: Planted(right(*where), change))
    limits = ExportConfig(overlap=0.9, ndcg_loss=1, error=0.2)
    checks = verify_artefacts(quantized.folder, quantized.endpoints, ("tflite-dynamic",), limits)
    checks = [check for check in checks if check.batch_size == 64]
    wrong = [check for check in checks if not check.passed]
    endpoints, problem = PLANTED[change]
    assert {check.endpoint for check in wrong} == endpoints
    assert any(problem in str(check) for check in wrong)


def test_a_loss_of_ndcg_is_caught(quantized, monkeypatch):
    right = verification.open_runtime
    monkeypatch.setattr(verification, "open_runtime", lambda *where: Planted(right(*where), reversed_order))
    limits = ExportConfig(overlap=0, ndcg_loss=0.01, error=1)
    checks = verify_artefacts(quantized.folder, quantized.endpoints, ("tflite-dynamic",), limits)
    (wrong,) = (check for check in checks if not check.passed)
    assert wrong.what == "NDCG@10 loss"
    assert wrong.figure > 0.01


def test_quantized_artefacts_are_judged_by_overlap_ndcg_and_error(quantized):
    checks = [check for check in quantized.manifest["checks"] if check["artefact"] == "tflite-dynamic"]
    asked = {(check["endpoint"], check["what"]): check["limit"] for check in checks}
    assert asked == {
        ("recommend", "top-10 overlap"): 0.5,
        ("recommend", "NDCG@10 loss"): 1,
        ("score", "error"): 0.2,
        ("embed_query", "error"): 0.2,
        ("embed_items", "error"): 0.2,
    }
    loss = next(check for check in checks if check["what"] == "NDCG@10 loss")
    assert loss["queries"] == len(load_sample(quantized.folder)["relevant"])
