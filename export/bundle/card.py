"""The model card: what a person needs to know before using a bundle, with a header that the Hugging Face Hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from export.bundle.bundle import worst_figures
from export.bundle.manifest import Manifest
from export.bundle.measurements import BASELINE
from export.bundle.options import Options
from export.endpoints import Endpoint
from export.formats.base import FORMATS, Call, Format, find_artefact
from export.markdown import size, table
from export.rendering import render
from export.serving.signatures import HISTORY
from export.values import Values
from export.verification.comparison import Check
from zoo.data.datasets import DATASETS
from zoo.errors import UserError
from zoo.evaluation.evaluation import EvaluationJson
from zoo.evaluation.interval import IntervalJson
from zoo.evaluation.metrics import gain
from zoo.evaluation.protocols import is_headline
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.registry import spec

TEMPLATE = Path(__file__).parent / "templates" / "card.md.jinja"
# An example shows so many ids of a list.
SHOWN = 3


def model_card(manifest: Manifest, requests: Mapping[str, Values], name: str) -> str:
    """The `README.md` of a bundle.

    Args:
        manifest: The manifest, without the files.
        requests: Raw requests by endpoint, as `sample_requests` gives them. One of each is shown.
        name: The name of the bundle's folder.

    Returns:
        Markdown with a YAML header.
    """
    formats = [FORMATS[chosen] for chosen in manifest["formats"]]
    endpoints = {key: Endpoint.from_json(key, values) for key, values in manifest["endpoints"].items()}
    checks = [Check.from_json(check) for check in manifest["checks"]]
    baseline = manifest.get("baseline") or {}
    recipe, source = manifest["recipe"], manifest.get("source") or ""
    architecture = recipe["name"]
    items = next(info for info in endpoints["recommend"].outputs if info.name == "items")
    options = Options.from_json(manifest["options"])
    call = Call(
        name,
        architecture,
        endpoints,
        {key: _example(endpoint, requests[key]) for key, endpoint in endpoints.items()},
        {key: value for made in formats for key, value in options.of(made).items()},
    )
    return render(
        TEMPLATE,
        header=_header(manifest, formats, name),
        architecture=architecture,
        family=manifest["family"],
        hparams=json.dumps(recipe["hparams"]),
        version=manifest["version"],
        recozoo=manifest["versions"]["recozoo"],
        artefact_titles=[find_artefact(artefact)[1].title for artefact in manifest["artefacts"]],
        summary=_summary(architecture),
        data=manifest["data"],
        counts=_counts(manifest),
        terms=DATASETS[source].terms if source in DATASETS else "not stated",
        evaluations=[_evaluation(value, baseline.get(key)) for key, value in manifest["metrics"].items()],
        is_refreshed=bool(manifest.get("refreshed")),
        is_baseline=architecture == BASELINE,
        has_baseline=bool(baseline),
        baseline=BASELINE,
        formats_table=_formats(manifest, checks),
        machine=manifest["artefact_facts"]["machine"],
        about_latency=[made.about_latency for made in formats if made.about_latency],
        about_ids=[made.about_ids for made in formats if made.about_ids],
        k=manifest["k"],
        kind_of_ids="strings" if items.dtype == "string" else "64-bit integers",
        no_item=json.dumps(items.padding),
        no_score=f"{NO_ITEM_SCORE:.4g}",
        endpoints=[{"name": key, "table": _endpoint(endpoint)} for key, endpoint in endpoints.items()],
        how_to_call=[part for made in sorted(formats, key=lambda made: made.name) for part in made.how_to_call(call)],
        wrong_requests=_wrong_requests(formats),
        checks=_checks(checks),
        limits=_limits(manifest, endpoints["recommend"], formats, options, checks),
    )


# The header, whose keys are those that https://huggingface.co/docs/hub/model-cards documents. There is no pipeline tag
# for recommenders, so none is given. Nor can a licence be given: it depends on the data and on whoever publishes.


def _header(manifest: Manifest, formats: Sequence[Format], name: str) -> str:
    source = manifest.get("source") or ""
    published_at = DATASETS[source].url if source in DATASETS else ""
    tags = ["recommender-systems", "recozoo", "keras", *(tag for made in formats for tag in made.tags)]
    header: dict[str, object] = {
        "license": "other",
        "license_name": "data-dependent",
        **({"license_link": published_at} if published_at else {}),
        "library_name": "keras",
        "tags": [*tags, manifest["recipe"]["name"]],
        **({"datasets": [source]} if published_at else {}),
        "model-index": [{"name": name, "results": _results(manifest)}],
    }
    if not manifest["metrics"]:
        del header["model-index"]
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True)


def _results(manifest: Manifest) -> list[dict[str, object]]:
    data = manifest["data"]["name"]
    return [
        {
            "task": {"type": "recommendation", "name": f"Recommendation ({evaluation['protocol']})"},
            "dataset": {"type": manifest.get("source") or "private", "name": data, "split": key.split("/")[1]},
            "metrics": [
                {"type": metric, "name": metric, "value": round(value["mean"], 6)}
                for metric, value in evaluation["metrics"].items()
            ],
        }
        for key, evaluation in manifest["metrics"].items()
    ]


def _summary(architecture: str) -> str:
    """What an architecture is, if it is known: it may be one that its author did not publish."""
    try:
        known = spec(architecture)
    except UserError:
        return "A recommender."
    return f"{known.summary} Paper: {known.paper}." if known.paper else known.summary


def _counts(manifest: Manifest) -> list[str]:
    data, interactions = manifest["data"], sum((manifest.get("interactions") or {}).values())
    counts = [f"{data['users']:,} users", f"{data['items']:,} items"]
    return counts + ([f"{interactions:,} interactions"] if interactions else [])


def _evaluation(evaluation: EvaluationJson, baseline: EvaluationJson | None) -> dict[str, str]:
    second = evaluation.get("without_context")
    return {
        "protocol": evaluation["protocol"],
        "about": evaluation["about"],
        "table": _metrics(evaluation["metrics"], baseline["metrics"] if baseline else {}),
        "without_context": _metrics(second, {}) if second else "",
    }


def _metrics(metrics: Mapping[str, IntervalJson], beside: Mapping[str, IntervalJson]) -> str:
    columns = ["metric", "this model", "95% interval", *([BASELINE, "95% interval"] if beside else [])]
    rows = [
        [metric, *_interval(value), *(_interval(beside.get(metric)) if beside else [])]
        for metric, value in metrics.items()
    ]
    return table(columns, rows)


def _interval(value: IntervalJson | None) -> list[str]:
    return [f"{value['mean']:.4f}", f"{value['low']:.4f} to {value['high']:.4f}"] if value else ["-", "-"]


def _formats(manifest: Manifest, checks: Sequence[Check]) -> str:
    rows = []
    for name, measured in manifest["artefact_facts"]["artefacts"].items():
        artefact = find_artefact(name)[1]
        own = [check for check in checks if check.artefact == name]
        path = f"`{artefact.shown_path(manifest['version'])}`"
        rows.append(
            [artefact.title, path, size(measured["bytes"]), f"{measured['milliseconds']:.3g} ms", worst_figures(own)]
        )
    return table(["format", "path", "size", "latency", "parity with the trained model"], rows)


def _endpoint(endpoint: Endpoint) -> str:
    rows = [
        [kind, f"`{info.name}`", info.dtype, _shape(info.shape), info.about]
        for kind, infos in (("input", endpoint.inputs), ("output", endpoint.outputs))
        for info in infos
    ]
    return table(["", "name", "dtype", "shape", "meaning"], rows)


def _shape(shape: Sequence[int | None]) -> str:
    return ", ".join(["rows", *("any" if size is None else str(size) for size in shape[1:])])


def _example(endpoint: Endpoint, requests: Values) -> Values:
    """A real query, `[1, ...]`. Only the last few ids of its lists are kept, so that it can be read."""
    example = {}
    for info in endpoint.inputs:
        values = requests[info.name][:1]
        if info.name in HISTORY:
            values = values.copy()
            values[:, :-SHOWN] = info.padding
        elif info.shape[1:] == (None,):
            known = values[values != info.padding][-SHOWN:]
            values = known[None] if len(known) else values[:, :1]
        example[info.name] = values
    return example


def _wrong_requests(formats: Iterable[Format]) -> str:
    rows = [row for made in formats for row in made.wrong_requests]
    return table(["runtime", "an input is missing", "an input has another dtype"], rows)


def _checks(checks: Iterable[Check]) -> str:
    rows = [
        [
            "✓" if check.passed else "✗",
            find_artefact(check.artefact)[1].title,
            check.endpoint,
            str(check.batch_size),
            f"{check.queries:,}",
            check.what,
            check.shown_figure,
            check.bound,
        ]
        for check in checks
    ]
    return table(["", "format", "endpoint", "batch", "queries", "what", "figure", "limit"], rows)


def _limits(
    manifest: Manifest, recommend: Endpoint, formats: Iterable[Format], options: Options, checks: Sequence[Check]
) -> list[str]:
    quantized = [name for name in manifest["artefacts"] if find_artefact(name)[1].is_quantized]
    losses = {name: worst_figures([check for check in checks if check.artefact == name]) for name in quantized}
    histories = [info for info in recommend.inputs if info.name == "history"]
    limits = [
        *(f"A history has {info.shape[1]} places: the last items seen, padded in front." for info in histories),
        *_limits_of_metrics(manifest),
        *(limit for made in formats for limit in made.limits(options.of(made), losses)),
    ]
    if manifest["withdrawn"]:
        limits.append(f"{len(manifest['withdrawn'])} items are withdrawn: known, and never recommended.")
    return limits


def _limits_of_metrics(manifest: Manifest) -> Iterable[str]:
    """Sentences on a model that is not better than recommending what is popular."""
    for key, popular in (manifest.get("baseline") or {}).items():
        evaluation = manifest["metrics"][key]
        for metric, other in popular["metrics"].items():
            own = evaluation["metrics"][metric]
            if not is_headline(evaluation["protocol"], metric):
                continue
            figures = f"{metric} {own['mean']:.4f} against {other['mean']:.4f}, {key.replace('/', ', ')} part"
            if gain(metric, own["mean"], other["mean"]) <= 0:
                yield f"**This model is no better than recommending what is popular**: {figures}."
            elif own["low"] <= other["high"]:
                yield f"It is not certain that this model is better than what is popular: {figures}, intervals overlap."
