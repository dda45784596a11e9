"""The model card says what there is."""

from __future__ import annotations

import copy
import json
import re

import pytest
from cards import section, table, text_of

import zoo
from export.markdown import plain

# Data and metrics


def test_the_card_names_architecture_hparams_and_data(bundle, run):
    text = text_of(bundle)
    assert "\n# mf on awkward\n" in text
    assert zoo.info("mf").summary in text
    assert json.dumps(run.model.recipe["hparams"]) in text
    assert "18 users, 20 items and 144 interactions" in section(text, "## Data")
    for note in bundle.manifest["data"]["notes"]:
        assert f"- {plain(note)}" in section(text, "## Data")


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
    assert "Put it into `exclude`" in limits
    assert "A history has 8 places: the last items seen, padded in front." in limits
    fixed = section(changed_card(options={**bundle.manifest["options"], "batch": 4}, withdrawn=["a", "b"]), "## Limits")
    assert "take 4 queries a call and lists of 500 ids" in fixed
    assert "2 items are withdrawn" in fixed
    assert "withdrawn" not in section(text_of(bundle), "## Limits")
