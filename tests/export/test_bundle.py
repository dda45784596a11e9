"""What is published, what is refused, and what is noticed later."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path

import pytest

import export
from export.bundle.bundle import open_bundle
from export.bundle.options import Options
from export.bundle.publishing import verify
from export.endpoints import DEFAULT_K, Endpoint, EndpointGraphs
from export.formats.onnx import writer as onnx
from export.formats.tflite import writer as tflite
from export.verification.artefacts import BATCH_SIZES
from zoo.config import ExportConfig
from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.errors import UserError, ZooError


def listed(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def wrong_onnx(monkeypatch):
    """Makes the ONNX of an export answer with the signs of its scores flipped."""

    right = onnx.write

    def write(graphs: EndpointGraphs, vocabularies, folder, **options):
        rows = graphs.catalogue[0].numpy()
        graphs.catalogue[0].assign(-rows)
        right(graphs, vocabularies, folder, **options)
        graphs.catalogue[0].assign(rows)

    monkeypatch.setattr(onnx, "write", write)


# The manifest


def test_a_bundle_holds_the_files_that_its_formats_promise(bundle):
    assert bundle.formats == ("onnx", "saved_model", "tflite")
    assert listed(bundle.folder) >= {
        "README.md",
        "manifest.json",
        "reference.npz",
        "sample.npz",
        "model/recipe.json",
        "model/weights.npz",
        "saved_model/models.config",
        "saved_model/1/saved_model.pb",
        "onnx/recommend.onnx",
        "onnx/score.onnx",
        "onnx/embed_query.onnx",
        "onnx/embed_items.onnx",
        "saved_model/batching.config",
        "saved_model/1/assets.extra/tf_serving_warmup_requests",
        "tflite/model.tflite",
        "preprocessing/dataset.json",
    }


def test_the_manifest_lists_every_other_file_with_its_size_and_checksum(bundle):
    files = bundle.manifest["files"]
    assert set(files) == listed(bundle.folder) - {"manifest.json"}
    for name, described in files.items():
        content = (bundle.folder / name).read_bytes()
        assert described == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_manifest_holds_recipe_metrics_data_and_versions(bundle, run):
    manifest = bundle.manifest
    assert manifest["recipe"] == json.loads(json.dumps(run.model.recipe))
    assert manifest["family"] == "towers"
    assert manifest["metrics"] == json.loads(json.dumps(run.metrics))
    assert manifest["data"]["name"] == "awkward"
    assert manifest["k"] == len(run.dataset.vocabularies["item"])
    assert manifest["versions"]["python"] == platform.python_version()
    for package in ("recozoo", "tensorflow", "keras", "onnxruntime", "ai-edge-litert"):
        assert manifest["versions"][package] == version(package)


def test_the_manifest_holds_the_checks_of_every_format_endpoint_and_batch_size(bundle):
    checks = bundle.manifest["checks"]
    assert [(check["artefact"], check["endpoint"], check["batch_size"]) for check in checks] == [
        (name, endpoint.name, size) for name in bundle.formats for endpoint in bundle.endpoints for size in BATCH_SIZES
    ]
    for check in checks:
        assert check["passed"]
        assert check["queries"] >= 20
        assert 0 <= check["figure"] <= check["limit"] == 1e-5
        assert not check["problem"]
        assert check["endpoint"] == "embed_items" or check["batch_size"] < 64 or check["queries"] > 500


def test_endpoints_and_options_survive_the_manifest(bundle, run):
    graphs = EndpointGraphs(run.model, run.dataset.vocabularies)
    assert bundle.endpoints == graphs.endpoints
    assert all(Endpoint.from_json(e.name, json.loads(json.dumps(e.to_json()))) == e for e in graphs.endpoints)
    assert bundle.options == Options()
    chosen = Options(("tflite",), 3, {"quantize": ("dynamic", "int8"), "batch": 1}, ExportConfig(overlap=0.5))
    assert Options.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen
    assert chosen.artefacts == ("tflite", "tflite-dynamic", "tflite-int8")


def test_the_preprocessing_holds_what_encodes_raw_values_and_no_interactions(features_bundle, features_run):
    folder = features_bundle.folder / "preprocessing"
    assert listed(folder) == {"dataset.json", "encoders.npz"}
    described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    dataset: Dataset = features_run.dataset
    assert described["schema"] == json.loads(json.dumps(dataset.schema.to_json()))
    assert described["vocabularies"] == {name: v.to_json() for name, v in dataset.vocabularies.items()}
    assert set(described["encoders"]) == set(dataset.encoders)


# Exporting


@pytest.mark.parametrize("formats", [("onnx",), ("tflite",)])
def test_only_the_formats_asked_for_are_written(run, tmp_path, formats):
    made = export.export(run, tmp_path / "bundle", formats)
    assert made.formats == formats
    folders = {path.name for path in made.folder.iterdir() if path.is_dir()}
    assert folders == {*formats, "model", "preprocessing"}
    assert {check["artefact"] for check in made.manifest["checks"]} == set(formats)


def test_a_run_folder_is_exported_like_the_run(run, bundle, tmp_path):
    folder = run.save(tmp_path / "run")
    made = export.export(str(folder), str(tmp_path / "bundle"), ["onnx", "onnx"])
    assert made.formats == ("onnx",)
    assert made.manifest["recipe"] == bundle.manifest["recipe"]
    assert made.manifest["endpoints"] == bundle.manifest["endpoints"]
    assert made.manifest["metrics"] == bundle.manifest["metrics"]


def test_k_is_how_many_items_recommend_gives(run, tmp_path):
    made = export.export(run, tmp_path / "bundle", ("onnx",), k=4)
    assert made.manifest["k"] == 4
    assert [out.shape for out in made.endpoints[0].outputs[:2]] == [(None, 4), (None, 4)]


def test_k_is_a_hundred_by_default_or_the_whole_of_a_smaller_catalogue(make_run, datasets):
    frame = datasets["ids"].interactions[["user"]].assign(item=range(len(datasets["ids"].interactions)))
    large = make_run("popularity", prepare(frame, split={"name": "random", "valid": 0, "test": 0}))
    assert EndpointGraphs(large.model, large.dataset.vocabularies).k == DEFAULT_K == 100
    small = make_run("popularity", datasets["ids"])
    assert EndpointGraphs(small.model, small.dataset.vocabularies).k == len(datasets["ids"].vocabularies["item"])


def test_every_check_is_reported_as_it_is_done(run, tmp_path):
    reported = []
    made = export.export(run, tmp_path / "bundle", ("onnx",), report=reported.append)
    assert [(check.artefact, check.endpoint, check.batch_size) for check in reported] == [
        ("onnx", endpoint.name, size) for endpoint in made.endpoints for size in BATCH_SIZES
    ]
    again = []
    assert verify(made.folder, again.append) == again
    assert again == reported


def test_an_artefact_that_disagrees_is_an_error_and_nothing_is_published(run, tmp_path, wrong_onnx):
    with pytest.raises(ZooError, match="Nothing was published") as raised:
        export.export(run, tmp_path / "bundle", ("onnx", "tflite"))
    assert not isinstance(raised.value, UserError)
    message = str(raised.value)
    assert "9 of 24 checks failed" in message
    assert "onnx recommend, batch 1" in message
    assert "onnx score, batch 64" in message
    assert "tflite" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_survives_a_failed_attempt_to_replace_it(run, bundle, damaged, tmp_path, wrong_onnx):
    with pytest.raises(ZooError, match="onnx recommend"):
        export.export(run, damaged, ("onnx",), overwrite=True)
    assert open_bundle(damaged).manifest == bundle.manifest
    assert list(tmp_path.iterdir()) == [damaged]


def test_a_crash_while_writing_leaves_nothing(run, tmp_path, monkeypatch):
    def crash(graphs, vocabularies, folder, **options):
        folder.mkdir()
        (folder / "half").write_text("half")
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(tflite, "write", crash)
    with pytest.raises(ZooError, match="Cannot write tflite: the disk is full"):
        export.export(run, tmp_path / "bundle", ("tflite",))
    assert list(tmp_path.iterdir()) == []


def test_overwriting_replaces_the_whole_bundle(run, damaged, tmp_path):
    made = export.export(run, damaged, ("onnx",), overwrite=True)
    assert open_bundle(damaged).formats == ("onnx",)
    assert not (damaged / "tflite").exists()
    assert made.folder == damaged
    assert list(tmp_path.iterdir()) == [damaged]


def test_a_bundle_that_replaces_another_has_the_next_version_and_keeps_the_former_for_servers(run, damaged, tmp_path):
    before = (damaged / "saved_model" / "1" / "saved_model.pb").read_bytes()
    second = export.export(run, damaged, ("saved_model",), overwrite=True)
    assert second.version == "2"
    versions = {path.name for path in (damaged / "saved_model").iterdir() if path.is_dir()}
    assert versions == {"1", "2"}
    assert (damaged / "saved_model" / "1" / "saved_model.pb").read_bytes() == before
    third = export.export(run, damaged, ("saved_model",), overwrite=True)
    assert third.version == "3"
    assert {path.name for path in (damaged / "saved_model").iterdir() if path.is_dir()} == {"2", "3"}
    assert verify(third)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int4"}, "Unknown quantization 'int4'"),
        ({"quantize": "int8", "formats": "onnx"}, "quantize: only for TFLite"),
        ({"batch": 0}, "batch must be at least 1. Received: 0"),
        ({"batch": 1, "formats": "onnx"}, "batch: only for TFLite"),
        ({"opset": 5}, "Cannot write ONNX opset 5"),
        ({"opset": 17, "formats": "tflite"}, "opset: only for ONNX"),
        ({"limits": {"overlap": 2}}, "overlap"),
        ({"limits": {"overlaps": 0.5}}, "Unknown setting in 'export' 'overlaps'"),
    ],
)
def test_a_wrong_option_is_an_error_before_anything_is_written(run, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        export.export(run, tmp_path / "bundle", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_and_left_alone(run, bundle, damaged):
    with pytest.raises(UserError, match=r"damaged: exists already.*overwrite"):
        export.export(run, damaged, ("onnx",))
    assert open_bundle(damaged).manifest == bundle.manifest


def test_a_file_is_never_replaced_by_a_bundle(run, tmp_path):
    (tmp_path / "notes").write_text("precious")
    with pytest.raises(UserError, match="is a file"):
        export.export(run, tmp_path / "notes", ("onnx",), overwrite=True)
    assert (tmp_path / "notes").read_text() == "precious"


def test_a_folder_that_is_no_bundle_is_never_replaced_by_one(run, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("precious")
    with pytest.raises(UserError, match="holds something else"):
        export.export(run, tmp_path / "home", ("onnx",), overwrite=True)
    assert (tmp_path / "home" / "letter").read_text() == "precious"


def test_ratings_of_any_size_are_exported(make_run, run, tmp_path):
    rating = make_run("mf", run.dataset)
    rating.model.set_rating_scale(5000, 2000)
    export.export(rating, tmp_path / "bundle", ("onnx",))


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        (("onx",), r"Unknown format 'onx'\. Did you mean 'onnx'\?"),
        (("onnx", "tflight"), r"Unknown format 'tflight'\. Did you mean 'tflite'\?"),
        (("coreml",), r"Unknown format 'coreml'\. Valid: onnx, saved_model, tflite"),
        ((), "No format was asked for. Valid: onnx, saved_model, tflite"),
    ],
)
def test_a_wrong_list_of_formats_is_an_error_that_names_the_right_ones(run, tmp_path, formats, message):
    with pytest.raises(UserError, match=message):
        export.export(run, tmp_path / "bundle", formats)
    assert list(tmp_path.iterdir()) == []


def test_one_format_may_be_given_as_a_string(run, tmp_path):
    assert export.export(run, tmp_path / "bundle", "onnx").formats == ("onnx",)


@pytest.mark.parametrize("k", [0, -1, 21])
def test_k_out_of_range_is_an_error_that_names_the_range(run, tmp_path, k):
    with pytest.raises(UserError, match=rf"k must be between 1 and the 20 items.*Received: {k}"):
        export.export(run, tmp_path / "bundle", ("onnx",), k=k)
    assert list(tmp_path.iterdir()) == []


def test_k_that_is_no_number_is_an_error(run, tmp_path):
    with pytest.raises(UserError, match="k must be"):
        export.export(run, tmp_path / "bundle", ("onnx",), k="3")


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: not a run"):
        export.export(tmp_path / "nowhere", tmp_path / "bundle", ("onnx",))
    assert list(tmp_path.iterdir()) == []
