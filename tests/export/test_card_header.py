"""The header of a model card is what the Hugging Face Hub documents."""

from __future__ import annotations

import pytest
from cards import header, text_of


def test_the_header_has_the_fields_that_the_hub_documents(bundle):
    read = header(text_of(bundle))
    assert set(read) == {"license", "license_name", "library_name", "tags", "model-index"}
    assert read["library_name"] == "keras"
    assert set(read["tags"]) >= {"recommender-systems", "keras", "tensorflow", "onnx", "tflite", "mf"}


def test_a_licence_is_not_claimed_where_that_of_the_data_is_unknown(bundle):
    read = header(text_of(bundle))
    assert (read["license"], read["license_name"]) == ("other", "data-dependent")
    assert "Licence of the data: not stated." in text_of(bundle)


def test_a_public_dataset_is_named_with_its_terms(changed_card):
    text = changed_card(source="ml-100k")
    assert header(text)["datasets"] == ["ml-100k"]
    assert header(text)["license_link"] == "https://grouplens.org/datasets/movielens/"
    assert header(text)["license"] == "other"
    assert "Licence of the data: GroupLens's" in text


def test_the_header_gives_every_metric_to_the_index_of_models(bundle):
    (model,) = header(text_of(bundle))["model-index"]
    (result,) = model["results"]
    (evaluation,) = bundle.manifest["metrics"].values()
    assert model["name"] == bundle.folder.name
    assert result["dataset"] == {"type": "private", "name": "awkward", "split": "test"}
    assert {m["type"]: m["value"] for m in result["metrics"]} == pytest.approx(
        {name: value["mean"] for name, value in evaluation["metrics"].items()}, abs=1e-6
    )


def test_the_header_of_a_model_that_was_not_evaluated_has_no_index(features_bundle):
    assert "model-index" not in header(text_of(features_bundle))


@pytest.mark.parametrize("name", ["bundle", "features_bundle"])
def test_the_hub_reads_the_header(name, request):
    hub = pytest.importorskip("huggingface_hub")
    bundle = request.getfixturevalue(name)
    read = hub.ModelCard.load(bundle.folder / "README.md", ignore_metadata_errors=False).data
    assert read.license == "other"
    results = {result.metric_type: result.metric_value for result in read.eval_results or []}
    expected = [m for e in bundle.manifest["metrics"].values() for m in e["metrics"]]
    assert list(results) == expected
