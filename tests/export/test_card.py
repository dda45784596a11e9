"""The model card says what there is, and what it says to run runs."""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

import export
import zoo
from export.bundle import measurements as facts
from export.bundle.card import model_card
from export.bundle.measurements import baseline_metrics, run_facts
from export.verification.queries import sample_requests
from export.verification.reference import load_sample
from zoo.data import prepare
from zoo.schema import Vocabulary

# Where package.json names what the examples in JavaScript import.
PACKAGES = Path(__file__).parent.parent.parent / "examples" / "browser" / "node_modules"


def text_of(bundle) -> str:
    return (bundle.folder / "README.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level."""
    level = heading.split()[0]
    lines = text.split(f"\n{heading}\n")[1]
    return re.split(rf"^{level} ", lines, flags=re.MULTILINE)[0].split("\n## ")[0]


def snippet(bundle, heading: str, language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", section(text_of(bundle), f"### {heading}"), re.DOTALL)
    return found


def executed(bundle, heading, monkeypatch) -> dict:
    """What a snippet of Python leaves behind, run from the folder of the bundle as a reader would."""
    monkeypatch.chdir(bundle.folder)
    namespace: dict = {}
    exec(snippet(bundle, heading, "python"), namespace)
    return namespace


def header(text: str) -> dict:
    opening, metadata, _ = text.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(metadata)


def table(text: str) -> list[list[str]]:
    """The cells of the only table of a text, without its heading."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


@pytest.fixture
def changed_card(bundle):
    """The card of a bundle whose manifest says something else."""
    raw = json.loads((bundle.folder / "preprocessing" / "dataset.json").read_text())["vocabularies"]["item"]
    sample = load_sample(bundle.folder)
    requests = {e.name: sample_requests(e, Vocabulary(raw), sample) for e in bundle.endpoints}

    def make(**changes) -> str:
        return model_card(copy.deepcopy(bundle.manifest) | changes, requests, "mf")

    return make


# The header


def test_the_header_has_the_fields_that_the_hub_documents(bundle):
    read = header(text_of(bundle))
    assert set(read) == {"license", "license_name", "library_name", "tags", "model-index"}
    assert read["library_name"] == "keras"
    assert set(read["tags"]) >= {"recommender-systems", "keras", "tensorflow", "onnx", "tflite", "mf"}


def test_no_licence_is_claimed_for_what_was_trained_on_data_of_unknown_licence(bundle):
    read = header(text_of(bundle))
    assert (read["license"], read["license_name"]) == ("other", "data-dependent")
    assert "Licence of the data: not stated." in text_of(bundle)


def test_a_public_dataset_is_named_with_its_terms(changed_card):
    text = changed_card(source="ml-100k")
    assert header(text)["datasets"] == ["ml-100k"]
    assert header(text)["license_link"] == "https://grouplens.org/datasets/movielens/"
    assert header(text)["license"] == "other"
    assert "Licence of the data: GroupLens's" in text


def test_a_file_that_is_called_like_a_public_dataset_is_not_taken_for_it(run):
    assert run.dataset.name == "awkward"
    assert run_facts(run)["source"] is None


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


# Data and metrics


def test_the_card_names_architecture_hparams_and_data(bundle, run):
    text = text_of(bundle)
    assert "\n# mf on awkward\n" in text
    assert zoo.info("mf").summary in text
    assert json.dumps(run.model.recipe["hparams"]) in text
    assert "18 users, 20 items and 144 interactions" in section(text, "## Data")
    for note in bundle.manifest["data"]["notes"]:
        assert f"- {note}" in section(text, "## Data")


def test_metrics_stand_with_their_intervals_beside_those_of_popularity(bundle):
    (key, evaluation), *_ = bundle.manifest["metrics"].items()
    text = section(text_of(bundle), "## Metrics")
    assert f"Protocol `{evaluation['protocol']}`: {evaluation['about']}" in text
    popular = bundle.manifest["baseline"][key]["metrics"]
    assert table(text) == [
        [
            name,
            *(
                part
                for m in (own, popular[name])
                for part in (f"{m['mean']:.4f}", f"{m['low']:.4f} to {m['high']:.4f}")
            ),
        ]
        for name, own in evaluation["metrics"].items()
    ]


def test_the_baseline_is_popularity_trained_and_evaluated_on_the_same_split(run):
    popular = zoo.train("popularity", run.dataset, progress=False)
    assert baseline_metrics(run) == popular.metrics


def test_the_baseline_follows_the_ranks_of_the_run(run, make_run):
    other = make_run("mf", run.dataset)
    other.config.evaluate.ks = (1, 3)
    other.evaluate()
    (found,) = baseline_metrics(other).values()
    (own,) = other.metrics.values()
    assert list(found["metrics"]) == list(own["metrics"])
    assert "ndcg@3" in found["metrics"]


def test_of_labels_popularity_tells_only_the_order(make_run, datasets):
    frame = datasets["ids"].interactions[["user", "item"]].assign(rating=lambda rows: (rows["item"] % 3) * 2)
    dataset = prepare(frame, split={"name": "random"}, label_threshold=1)
    labelled = make_run("mf", dataset)
    labelled.evaluate("labels")
    assert set(baseline_metrics(labelled)["labels/test"]["metrics"]) == {"auc"}
    assert set(labelled.metrics["labels/test"]["metrics"]) == {"auc", "log_loss", "accuracy"}


def test_there_is_no_baseline_without_metrics_nor_for_ratings_nor_for_itself(make_run, datasets, run):
    assert baseline_metrics(make_run("mf", datasets["ids"])) == {}
    popular = make_run("popularity", run.dataset)
    popular.evaluate()
    assert baseline_metrics(popular) == {}
    ratings = make_run("mf", datasets["ids"])
    ratings.metrics = {"ratings/test": {}}
    assert baseline_metrics(ratings) == {}


def test_streamed_data_has_no_baseline_but_its_interactions_are_counted(tmp_path, datasets, make_run):
    frame = datasets["ids"].interactions[["user", "item"]].astype(str)
    frame.to_parquet(tmp_path / "events.parquet")
    dataset = zoo.data.load_dataset(tmp_path / "events.parquet", stream=True)
    streamed = make_run("mf", dataset)
    streamed.metrics = {"full-ranking/test": {}}
    found = run_facts(streamed)
    assert found["baseline"] == {}
    assert sum(found["interactions"].values()) == len(frame)


def test_a_card_without_baseline_says_why(changed_card):
    text = section(changed_card(baseline={}), "## Metrics")
    assert "There are no figures of `popularity` beside them" in text
    assert len(table(text)[0]) == 3


def test_the_card_of_a_model_that_was_not_evaluated_says_so(features_bundle):
    assert section(text_of(features_bundle), "## Metrics").strip().startswith("None")


def test_metrics_from_before_a_refresh_are_called_so(changed_card):
    assert "before another catalogue was put into the bundle" in changed_card(refreshed={"new": 3})
    assert "before another catalogue" not in changed_card()


# Formats


def test_sizes_are_those_on_the_disk(bundle):
    sizes = {name: measured["bytes"] for name, measured in bundle.manifest["artefact_facts"]["artefacts"].items()}
    folders = {"saved_model": "saved_model/1", "onnx": "onnx", "tflite": "tflite"}
    assert sizes == {
        name: sum(file.stat().st_size for file in (bundle.folder / folder).rglob("*") if file.is_file())
        for name, folder in folders.items()
    }


def test_latency_is_the_median_of_single_queries(monkeypatch, bundle):
    asked = []

    class Slow:
        def run(self, endpoint, inputs):
            asked.append((endpoint, len(inputs["user"])))
            now[0] += durations[len(asked) - 1]

    durations, now = [10.0] * facts.WARM_UP + [0.1, 0.4, 0.2, 0.3, 5.0], [0.0]
    monkeypatch.setattr(facts, "open_runtime", lambda *arguments: Slow())
    monkeypatch.setattr(facts.time, "perf_counter", lambda: now[0])
    requests = {"user": np.array(["a", "b"], object)}
    measured = facts.artefact_facts(bundle.folder, bundle.endpoints, ("onnx",), "1", requests)["artefacts"]["onnx"]
    assert (measured["milliseconds"], measured["calls"]) == (pytest.approx(300), 5)
    assert asked == [("recommend", 1)] * 8


def test_every_format_has_size_latency_and_its_worst_parity(bundle):
    measured = bundle.manifest["artefact_facts"]
    text = section(text_of(bundle), "## Formats")
    assert measured["machine"] in text
    rows = {row[1].strip("`").split("/")[0]: row for row in table(text)}
    assert set(rows) == set(bundle.artefacts)
    for name, row in rows.items():
        worst = max(check["figure"] for check in bundle.manifest["checks"] if check["artefact"] == name)
        assert re.fullmatch(r"\d+(\.\d+)? [kM]?(B|bytes)", row[2])
        assert row[3] == f"{measured['artefacts'][name]['milliseconds']:.3g} ms"
        assert row[4] == f"largest difference {worst:.1e}"


def check(artefact, what, figure, limit, passed=True):
    return {
        "artefact": artefact,
        "endpoint": "recommend",
        "batch_size": 64,
        "queries": 600,
        "what": what,
        "figure": figure,
        "limit": limit,
        "problem": "",
        "passed": passed,
    }


@pytest.fixture
def quantized_card(bundle, changed_card):
    """The card of a bundle with an int8 file, one of whose checks did not pass."""
    checks = [
        check("tflite-int8", "top-10 overlap", 0.95, 0.9),
        check("tflite-int8", "top-10 overlap", 0.93, 0.9),
        check("tflite-int8", "NDCG@10 loss", 0.02, 0.01, passed=False),
    ]
    measured = copy.deepcopy(bundle.manifest["artefact_facts"])
    measured["artefacts"]["tflite-int8"] = {"bytes": 1_234_567, "milliseconds": 0.5, "calls": 600}
    return changed_card(
        artefacts=["tflite", "tflite-int8"],
        artefact_facts=measured,
        checks=[*bundle.manifest["checks"], *checks],
        options={**bundle.manifest["options"], "quantize": ["int8"]},
    )


def test_a_quantized_file_is_listed_with_what_it_loses(quantized_card):
    (row,) = [row for row in table(section(quantized_card, "## Formats")) if "int8" in row[1]]
    assert row[1:4] == ["`tflite/model-int8.tflite`", "1.23 MB", "0.5 ms"]
    assert row[4] == "top-10 overlap 0.9300, NDCG@10 loss 0.0200"
    limits = section(quantized_card, "## Limits")
    assert "answers differ from the trained model's (top-10 overlap 0.9300, NDCG@10 loss 0.0200)" in limits
    assert "stay int32 and float32" in limits


# Endpoints


@pytest.mark.parametrize("name", ["bundle", "features_bundle"])
def test_the_card_describes_every_input_and_output_of_every_endpoint(name, request):
    bundle = request.getfixturevalue(name)
    for endpoint in bundle.endpoints:
        rows = table(section(text_of(bundle), f"### {endpoint.name}"))
        described = [(kind, name.strip("`"), dtype) for kind, name, dtype, *_ in rows]
        assert described == [
            *(("input", info.name, info.dtype) for info in endpoint.inputs),
            *(("output", info.name, info.dtype) for info in endpoint.outputs),
        ]


def test_a_column_with_a_bar_in_its_name_does_not_break_the_table(bundle, changed_card):
    endpoints = copy.deepcopy(bundle.manifest["endpoints"])
    endpoints["recommend"]["inputs"][0]["about"] = "The column a|b."
    rows = table(section(changed_card(endpoints=endpoints), "### recommend"))
    assert {len(row) for row in rows} == {5}
    assert rows[0][4] == "The column a\\|b."


def test_the_card_tells_the_rules_of_k_unknown_ids_and_rows(bundle, features_bundle):
    text = section(text_of(bundle), "## Endpoints")
    assert f"always gives {bundle.manifest['k']} items" in text
    assert "item ids are strings" in text
    assert "`unknown_...`" in text
    assert "item ids are 64-bit integers" in section(text_of(features_bundle), "## Endpoints")


# Examples

BOTH = pytest.mark.parametrize("name", ["bundle", "features_bundle"])
RUNTIMES = {"bundle": "runtimes", "features_bundle": "features_runtimes"}


@BOTH
def test_the_python_example_recommends_what_the_saved_model_does(name, request, monkeypatch):
    bundle, runtimes = request.getfixturevalue(name), request.getfixturevalue(RUNTIMES[name])
    left = executed(bundle, "Python", monkeypatch)
    expected = runtimes["saved_model"].run("recommend", left["query"])
    assert left["items"].tolist() == expected["items"].tolist()
    of_same_file = runtimes["onnx"].run("recommend", left["query"])
    np.testing.assert_allclose(left["scores"], of_same_file["scores"], rtol=1e-5)
    # Another format rounds otherwise, of scores near 0 by more than that share of them.
    np.testing.assert_allclose(left["scores"], expected["scores"], rtol=0, atol=1e-5)
    assert not expected["unknown_user"].any()
    assert not np.isin(left["query"]["exclude"], left["items"]).any()


@BOTH
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (PACKAGES / "onnxruntime-node").is_dir(),
    reason="onnxruntime-node is not installed: npm ci --ignore-scripts --prefix examples/browser",
)
def test_the_javascript_example_recommends_what_the_python_example_does(name, request, monkeypatch, tmp_path):
    bundle = request.getfixturevalue(name)
    left = executed(bundle, "Python", monkeypatch)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    (tmp_path / "onnx").symlink_to(bundle.folder / "onnx")
    told = 'console.error(JSON.stringify(best, (key, it) => (typeof it === "bigint" ? `${it}` : it)));'
    (tmp_path / "example.mjs").write_text(f"{snippet(bundle, 'JavaScript', 'javascript')}{told}", encoding="utf-8")
    ran = subprocess.run(
        ["node", "example.mjs"], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300, check=True
    )
    items, scores = zip(*json.loads(ran.stderr), strict=True)
    assert list(items) == [str(item) for item in left["items"][0]]
    np.testing.assert_allclose(scores, left["scores"][0], rtol=1e-5)


@BOTH
def test_the_curl_examples_fit_the_signatures_and_recommend_the_same(name, request, monkeypatch):
    bundle = request.getfixturevalue(name)
    loaded = tf.saved_model.load(str(bundle.folder / "saved_model" / "1"))
    asked = snippet(bundle, "curl", "bash").strip().split("\n\n")
    bodies = [json.loads(shlex.split(line)[2]) for line in asked]
    assert [body["signature_name"] for body in bodies] == [endpoint.name for endpoint in bundle.endpoints]
    answers = {}
    for body in bodies:
        signature = loaded.signatures[body["signature_name"]]
        specs = signature.structured_input_signature[1]
        inputs = {key: tf.constant(value, specs[key].dtype) for key, value in body["inputs"].items()}
        answers[body["signature_name"]] = signature(**inputs)
    items = [i.decode() if isinstance(i, bytes) else i for i in answers["recommend"]["items"][0].numpy().tolist()]
    assert items == executed(bundle, "Python", monkeypatch)["items"][0].tolist()


@BOTH
def test_the_tflite_example_recommends_what_the_python_example_does(name, request, monkeypatch):
    bundle = request.getfixturevalue(name)
    items = executed(bundle, "TFLite in Python", monkeypatch)["items"]
    padding = next(info.padding for info in bundle.endpoints[0].outputs if info.name == "items")
    expected = [item for item in executed(bundle, "Python", monkeypatch)["items"][0].tolist() if item != padding]
    assert items == expected


def test_the_tflite_example_fits_a_file_of_fixed_sizes(run, bundle, tmp_path, monkeypatch):
    fixed = export.export(run, tmp_path / "fixed", "tflite", batch=2)
    items = executed(fixed, "TFLite in Python", monkeypatch)["items"]
    assert items == executed(bundle, "TFLite in Python", monkeypatch)["items"]
    assert "take 2 queries a call and lists of 500 ids" in text_of(fixed)


def test_the_examples_run_where_ids_are_negative(make_run, datasets, tmp_path, monkeypatch):
    frame = datasets["ids"].interactions[["user", "item"]].assign(item=lambda rows: rows["item"] - 10)
    run = make_run("mf", prepare(frame, split={"name": "random", "valid": 0, "test": 0}))
    bundle = export.export(run, tmp_path / "bundle", ("onnx",))
    left = executed(bundle, "Python", monkeypatch)
    known = set(run.dataset.vocabularies["item"].to_json())
    padding = next(info.padding for info in bundle.endpoints[0].outputs if info.name == "items")
    assert set(left["items"][0].tolist()) - {padding} == known - set(left["query"]["exclude"][0].tolist())


def test_the_clients_of_tf_serving_and_of_phones_are_shown_for_this_bundle(bundle):
    text = text_of(bundle)
    assert f"/models/{bundle.folder.name}/saved_model/models.config" in snippet(bundle, "TF Serving", "bash")
    compile(snippet(bundle, "gRPC", "python"), "gRPC", "exec")
    phones = section(text, "### TFLite in Kotlin and Swift")
    assert "```kotlin\n" in phones
    assert "```swift\n" in phones


def test_only_formats_that_are_there_are_spoken_of(run, tmp_path):
    only = text_of(export.export(run, tmp_path / "bundle", ("onnx",)))
    headings = re.findall(r"^### (.*)$", only, re.MULTILINE)
    assert {"Python", "JavaScript"} <= set(headings)
    assert not {"TF Serving", "curl", "gRPC", "TFLite in Python"} & set(headings)
    assert [row[0] for row in table(section(only, "## Wrong requests"))] == ["ONNX Runtime"]
    assert "tensorflow" not in header(only)["tags"]


# Verification and limits


def test_every_check_has_a_tick_or_a_cross_with_figure_and_limit(quantized_card, bundle):
    rows = table(section(quantized_card, "## Verification"))
    assert len(rows) == len(bundle.manifest["checks"]) + 3
    assert [row[0] for row in rows] == ["✓"] * (len(rows) - 1) + ["✗"]
    assert rows[-1][1:] == [
        "TFLite (8-bit weights and layers)",
        "recommend",
        "64",
        "600",
        "NDCG@10 loss",
        "0.0200",
        "at most 0.01",
    ]
    assert rows[-2][-1] == "at least 0.9"


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ((0.2, 0.1, 0.3), (0.4, 0.3, 0.5), "no better than recommending what is popular**: ndcg@10 0.2000 against 0.4"),
        ((0.4, 0.3, 0.5), (0.35, 0.3, 0.4), "It is not certain"),
        ((0.4, 0.3, 0.5), (0.1, 0.05, 0.2), None),
    ],
    ids=["worse", "unsure", "better"],
)
def test_a_model_that_is_not_better_than_popularity_says_so(bundle, changed_card, own, other, said):
    (key, evaluation), *_ = bundle.manifest["metrics"].items()

    def with_ndcg(interval):
        metrics = {"ndcg@10": dict(zip(("mean", "low", "high"), interval, strict=True))}
        return {key: {**evaluation, "metrics": metrics}}

    limits = section(changed_card(metrics=with_ndcg(own), baseline=with_ndcg(other)), "## Limits")
    assert (said in limits) if said else ("popular" not in limits)


def test_limits_name_k_seen_items_histories_fixed_sizes_and_withdrawn_items(features_bundle, bundle, changed_card):
    limits = section(text_of(features_bundle), "## Limits")
    assert f"gives {features_bundle.manifest['k']} items at most" in limits
    assert "put it into `exclude`" in limits
    assert "A history has 8 places: the last items seen, padded in front." in limits
    fixed = section(changed_card(options={**bundle.manifest["options"], "batch": 4}, withdrawn=["a", "b"]), "## Limits")
    assert "take 4 queries a call and lists of 500 ids" in fixed
    assert "2 items are withdrawn" in fixed
    assert "withdrawn" not in section(text_of(bundle), "## Limits")
