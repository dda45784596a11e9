"""The model card: what a person needs to know before using a bundle, with a header that the Hugging Face Hub reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from export.bundle.bundle import worst_figures
from export.bundle.manifest import Manifest, Measured
from export.bundle.options import Options
from export.endpoints import Endpoint, TensorInfo
from export.formats.base import FORMATS, Call, Format, find_artefact
from export.markdown import size, table
from export.rendering import render
from export.values import Values, output_of
from export.verification.check import Check
from zoo.data.datasets import DATASETS, NamedDataset
from zoo.errors import UserError
from zoo.evaluation.evaluation import EvaluationJson, Margin
from zoo.evaluation.interval import IntervalJson
from zoo.evaluation.metrics import gain
from zoo.evaluation.popularity import BASELINE
from zoo.evaluation.protocols import is_headline
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.registry import spec
from zoo.schema import HISTORY_NAMES

TEMPLATE = Path(__file__).parent / "templates" / "card.md.jinja"
# An example shows so many ids of a list.
SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a manifest says of a bundle, as objects.

    Args:
        name: The name of the bundle's folder.
        manifest: The manifest, without the files.
        formats: The formats.
        endpoints: The endpoints by name.
        checks: The checks that the bundle passed.
        options: How it was written.
    """

    name: str
    manifest: Manifest
    formats: Sequence[Format]
    endpoints: Mapping[str, Endpoint]
    checks: Sequence[Check]
    options: Options

    @classmethod
    def of(cls, manifest: Manifest, name: str) -> Contents:
        """The contents of a bundle of some name."""
        return cls(
            name,
            manifest,
            [FORMATS[chosen] for chosen in manifest["formats"]],
            {key: Endpoint.from_json(key, values) for key, values in manifest["endpoints"].items()},
            [Check.from_json(check) for check in manifest["checks"]],
            Options.from_json(manifest["options"]),
        )

    @property
    def architecture(self) -> str:
        """The name of the architecture."""
        return self.manifest["recipe"]["name"]

    @property
    def dataset(self) -> NamedDataset | None:
        """The public dataset that the model was trained on, if it was one."""
        source = self.manifest.get("source")
        return DATASETS[source] if source and source in DATASETS else None

    @property
    def published_at(self) -> str:
        """Where that dataset is described. It is empty where nobody else published it."""
        return self.dataset.url if self.dataset else ""

    @property
    def baseline(self) -> Mapping[str, EvaluationJson]:
        """The metrics of popularity by protocol and part. It is empty where there are none."""
        return self.manifest.get("baseline") or {}

    def checks_of(self, artefact: str) -> list[Check]:
        """The checks of an artefact."""
        return [check for check in self.checks if check.artefact == artefact]


def model_card(manifest: Manifest, requests: Mapping[str, Values], name: str) -> str:
    """The `README.md` of a bundle.

    Args:
        manifest: The manifest, without the files.
        requests: Raw requests by endpoint, as `sample_requests` gives them. One of each is shown.
        name: The name of the bundle's folder.

    Returns:
        Markdown with a YAML header.
    """
    contents = Contents.of(manifest, name)
    return render(
        TEMPLATE,
        header=_header(contents),
        **_about_model(contents),
        **_about_metrics(contents),
        **_about_formats(contents),
        **_about_endpoints(contents),
        how_to_call=_how_to_call(contents, requests),
        wrong_requests=_wrong_requests(contents.formats),
        checks=_checks(contents.checks),
        limits=_limits(contents),
    )


# The header. Its keys are those that https://huggingface.co/docs/hub/model-cards documents. There is no pipeline tag
# for recommenders, so none is given. No licence is given either, because it depends on the data and on the publisher.


def _header(contents: Contents) -> str:
    published_at, results = contents.published_at, _results(contents.manifest)
    header: dict[str, object] = {
        "license": "other",
        "license_name": "data-dependent",
        "license_link": published_at,
        "library_name": "keras",
        "tags": _tags(contents),
        "datasets": [contents.manifest["source"]] if published_at else [],
        "model-index": [{"name": contents.name, "results": results}] if results else [],
    }
    return yaml.safe_dump({key: value for key, value in header.items() if value}, sort_keys=False, allow_unicode=True)


def _tags(contents: Contents) -> list[str]:
    of_formats = [tag for made in contents.formats for tag in made.tags]
    return ["recommender-systems", "recozoo", "keras", *of_formats, contents.architecture]


def _results(manifest: Manifest) -> list[dict[str, object]]:
    return [_result(manifest, key, evaluation) for key, evaluation in manifest["metrics"].items()]


def _result(manifest: Manifest, key: str, evaluation: EvaluationJson) -> dict[str, object]:
    data, part = manifest["data"]["name"], key.split("/")[1]
    return {
        "task": {"type": "recommendation", "name": f"Recommendation ({evaluation['protocol']})"},
        "dataset": {"type": manifest.get("source") or "private", "name": data, "split": part},
        "metrics": [
            {"type": metric, "name": metric, "value": round(value["mean"], 6)}
            for metric, value in evaluation["metrics"].items()
        ],
    }


# What it is and how good it is


def _about_model(contents: Contents) -> dict[str, object]:
    manifest, dataset = contents.manifest, contents.dataset
    return {
        "architecture": contents.architecture,
        "family": manifest["family"],
        "hparams": json.dumps(manifest["recipe"]["hparams"]),
        "version": manifest["version"],
        "recozoo": manifest["versions"]["recozoo"],
        "artefact_titles": [find_artefact(artefact)[1].title for artefact in manifest["artefacts"]],
        "summary": _summary(contents.architecture),
        "data": manifest["data"],
        "counts": _counts(manifest),
        "terms": dataset.terms if dataset else "not stated",
    }


def _summary(architecture: str) -> str:
    """What an architecture is, if it is registered. Its author may not have published it."""
    try:
        known = spec(architecture)
    except UserError:
        return "A recommender."
    return f"{known.summary} Paper: {known.paper}." if known.paper else known.summary


def _counts(manifest: Manifest) -> list[str]:
    data, interactions = manifest["data"], sum((manifest.get("interactions") or {}).values())
    counts = [f"{data['users']:,} users", f"{data['items']:,} items"]
    return counts + ([f"{interactions:,} interactions"] if interactions else [])


def _about_metrics(contents: Contents) -> dict[str, object]:
    metrics, baseline = contents.manifest["metrics"], contents.baseline
    return {
        "evaluations": [_evaluation(value, baseline.get(key)) for key, value in metrics.items()],
        "is_refreshed": bool(contents.manifest.get("refreshed")),
        "is_baseline": contents.architecture == BASELINE,
        "has_baseline": bool(baseline),
        "baseline": BASELINE,
    }


def _evaluation(evaluation: EvaluationJson, baseline: EvaluationJson | None) -> dict[str, str]:
    second = evaluation.get("without_context")
    return {
        "protocol": evaluation["protocol"],
        "about": evaluation["about"],
        "table": _metrics(evaluation["metrics"], baseline["metrics"] if baseline else {}),
        "without_context": _metrics(second, {}) if second else "",
        "beside_popularity": str(Margin.of(evaluation) or ""),
    }


def _metrics(metrics: Mapping[str, IntervalJson], beside: Mapping[str, IntervalJson]) -> str:
    if not beside:
        return table(["metric", "this model", "95% interval"], ([name, *_cells(own)] for name, own in metrics.items()))
    rows = ([name, *_cells(own), *_cells(beside.get(name))] for name, own in metrics.items())
    return table(["metric", "this model", "95% interval", BASELINE, "95% interval"], rows)


def _cells(value: IntervalJson | None) -> list[str]:
    return [f"{value['mean']:.4f}", f"{value['low']:.4f} to {value['high']:.4f}"] if value else ["-", "-"]


# What it holds and how it is asked


def _about_formats(contents: Contents) -> dict[str, object]:
    measured = contents.manifest["artefact_facts"]
    return {
        "formats_table": table(
            ["format", "path", "size", "latency", "parity with the trained model"],
            [_artefact(contents, name, figures) for name, figures in measured["artefacts"].items()],
        ),
        "machine": measured["machine"],
        "about_latency": _given(made.about_latency for made in contents.formats),
        "about_ids": _given(made.about_ids for made in contents.formats),
        "k": contents.manifest["k"],
    }


def _artefact(contents: Contents, name: str, measured: Measured) -> list[str]:
    artefact = find_artefact(name)[1]
    path, latency = artefact.shown_path(contents.manifest["version"]), measured["milliseconds"]
    parity = worst_figures(contents.checks_of(name))
    return [artefact.title, f"`{path}`", size(measured["bytes"]), f"{latency:.3g} ms", parity]


def _given(sentences: Iterable[str]) -> list[str]:
    """The sentences that are not empty."""
    return [sentence for sentence in sentences if sentence]


def _about_endpoints(contents: Contents) -> dict[str, object]:
    items = output_of(contents.endpoints["recommend"], "items")
    return {
        "kind_of_ids": "strings" if items.dtype == "string" else "64-bit integers",
        "no_item": json.dumps(items.padding),
        "no_score": f"{NO_ITEM_SCORE:.4g}",
        "endpoints": [{"name": key, "table": _endpoint(endpoint)} for key, endpoint in contents.endpoints.items()],
    }


def _endpoint(endpoint: Endpoint) -> str:
    rows = [
        [kind, f"`{info.name}`", info.dtype, _shape(info.shape), info.about]
        for kind, infos in (("input", endpoint.inputs), ("output", endpoint.outputs))
        for info in infos
    ]
    return table(["", "name", "dtype", "shape", "meaning"], rows)


def _shape(shape: Sequence[int | None]) -> str:
    return ", ".join(["rows", *("any" if size is None else str(size) for size in shape[1:])])


def _how_to_call(contents: Contents, requests: Mapping[str, Values]) -> list[str]:
    """Paragraphs on every format, in the order of the names of formats."""
    examples = {key: _example(endpoint, requests[key]) for key, endpoint in contents.endpoints.items()}
    call = Call(contents.name, contents.architecture, contents.endpoints, examples, contents.options.values)
    ordered = sorted(contents.formats, key=lambda made: made.name)
    return [paragraph for made in ordered for paragraph in made.how_to_call(call)]


def _example(endpoint: Endpoint, requests: Values) -> Values:
    """A real query, `[1, ...]`. Only the last few ids of its lists are kept, so that it can be read."""
    return {info.name: _shortened(info, requests[info.name][:1]) for info in endpoint.inputs}


def _shortened(info: TensorInfo, values: np.ndarray) -> np.ndarray:
    if info.name in HISTORY_NAMES:
        values = values.copy()
        values[:, :-SHOWN] = info.padding
    elif info.shape[1:] == (None,):
        known = values[values != info.padding][-SHOWN:]
        return known[None] if len(known) else values[:, :1]
    return values


def _wrong_requests(formats: Iterable[Format]) -> str:
    rows = [row for made in formats for row in made.wrong_requests]
    return table(["runtime", "an input is missing", "an input has another dtype"], rows)


# What was proved, and what it cannot do


def _checks(checks: Iterable[Check]) -> str:
    return table(
        ["", "format", "endpoint", "batch", "queries", "what", "figure", "limit"], (_check(check) for check in checks)
    )


def _check(check: Check) -> list[str]:
    return [
        "✓" if check.passed else "✗",
        find_artefact(check.artefact)[1].title,
        check.endpoint,
        str(check.batch_size),
        f"{check.queries:,}",
        check.what,
        check.shown_figure,
        check.bound,
    ]


def _limits(contents: Contents) -> list[str]:
    return [
        *_limits_of_histories(contents.endpoints["recommend"]),
        *_limits_of_metrics(contents),
        *_limits_of_formats(contents),
        *_limits_of_items(contents.manifest["withdrawn"]),
    ]


def _limits_of_histories(recommend: Endpoint) -> list[str]:
    lengths = [info.shape[1] for info in recommend.inputs if info.name == "history"]
    return [f"A history has {length} places: the last items seen, padded in front." for length in lengths]


def _limits_of_metrics(contents: Contents) -> Iterator[str]:
    """Sentences on a model that is not better than recommending what is popular."""
    for key, popular in contents.baseline.items():
        evaluation = contents.manifest["metrics"][key]
        for metric, other in popular["metrics"].items():
            if is_headline(evaluation["protocol"], metric):
                yield from _limit_of_metric(metric, evaluation["metrics"][metric], other, key.replace("/", ", "))


def _limit_of_metric(metric: str, own: IntervalJson, other: IntervalJson, part: str) -> Iterator[str]:
    figures = f"{metric} {own['mean']:.4f} against {other['mean']:.4f}, {part} part"
    if gain(metric, own["mean"], other["mean"]) <= 0:
        yield f"**This model is no better than recommending what is popular**: {figures}."
    elif own["low"] <= other["high"]:
        yield f"It is not certain that this model is better than what is popular: {figures}, intervals overlap."


def _limits_of_formats(contents: Contents) -> Iterator[str]:
    quantized = [name for name in contents.manifest["artefacts"] if find_artefact(name)[1].is_quantized]
    losses = {name: worst_figures(contents.checks_of(name)) for name in quantized}
    for made in contents.formats:
        yield from made.limits(contents.options.of(made), losses)


def _limits_of_items(withdrawn: Sequence[str | int]) -> list[str]:
    return [f"{len(withdrawn)} items are withdrawn: known, and never recommended."] if withdrawn else []
