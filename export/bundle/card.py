"""The model card: what a person needs to know before using a bundle, with a header that the Hugging Face Hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from export.bundle.measurements import BASELINE
from export.endpoints import Endpoint
from export.formats import saved_model
from export.formats.onnx import examples as onnx_examples
from export.formats.onnx import writer as onnx
from export.formats.tflite import writer as tflite
from export.serving import tf_serving
from export.serving.signatures import HISTORY
from export.verification.queries import Values
from zoo.data.datasets import DATASETS
from zoo.errors import UserError
from zoo.evaluation.metrics import gain
from zoo.evaluation.protocols import is_headline
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.registry import spec

Manifest = Mapping[str, Any]

# How many ids of a list an example shows.
SHOWN = 3
# How a format is called in tags and in text.
TAGS = {saved_model.NAME: ("tensorflow", "tf-serving"), onnx.NAME: ("onnx",), tflite.NAME: ("tflite", "litert")}
TITLES = {
    saved_model.NAME: "SavedModel",
    onnx.NAME: "ONNX",
    tflite.NAME: "TFLite",
    "tflite-float16": "TFLite (float16)",
    "tflite-dynamic": "TFLite (8-bit weights)",
    "tflite-int8": "TFLite (8-bit weights and layers)",
}


def model_card(manifest: Manifest, requests: Mapping[str, Values], name: str) -> str:
    """The `README.md` of a bundle.

    Args:
        manifest: The manifest, without the files.
        requests: Raw requests by endpoint, as `sample_requests` gives them, of which one is shown.
        name: The name of the bundle's folder.

    Returns:
        Markdown with a YAML header.
    """
    endpoints = {key: Endpoint.from_json(key, values) for key, values in manifest["endpoints"].items()}
    examples = {key: _example(endpoint, requests[key]) for key, endpoint in endpoints.items()}
    parts = [
        _header(manifest, name),
        *_introduction(manifest),
        *_data(manifest),
        *_metrics(manifest),
        *_formats(manifest),
        *_endpoints(manifest, endpoints),
        *_how_to_call(manifest, endpoints, examples, name),
        *_wrong_requests(manifest),
        *_verification(manifest["checks"]),
        *_limits(manifest),
    ]
    return "\n\n".join(parts) + "\n"


# The header, whose keys are those that https://huggingface.co/docs/hub/model-cards documents. There is no pipeline tag
# for recommenders, so none is given. Nor can a licence be given: it depends on the data and on whoever publishes.


def _header(manifest: Manifest, name: str) -> str:
    source = manifest.get("source") or ""
    architecture = manifest["recipe"]["name"]
    tags = ["recommender-systems", "recozoo", "keras", *(tag for f in manifest["formats"] for tag in TAGS[f])]
    published_at = DATASETS[source].url if source in DATASETS else ""
    header: dict[str, Any] = {
        "license": "other",
        "license_name": "data-dependent",
        **({"license_link": published_at} if published_at else {}),
        "library_name": "keras",
        "tags": [*tags, architecture],
        **({"datasets": [source]} if published_at else {}),
        "model-index": [{"name": name, "results": _results(manifest)}],
    }
    if not manifest["metrics"]:
        del header["model-index"]
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---"


def _results(manifest: Manifest) -> list[dict[str, Any]]:
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


def _introduction(manifest: Manifest) -> list[str]:
    recipe = manifest["recipe"]
    return [
        f"# {recipe['name']} on {manifest['data']['name']}",
        _summary(recipe["name"]),
        f"Architecture `{recipe['name']}`, family {manifest['family']}, hparams `{json.dumps(recipe['hparams'])}`. "
        f"Version {manifest['version']}, exported by recozoo {manifest['versions']['recozoo']} as "
        f"{_listed(TITLES[artefact] for artefact in manifest['artefacts'])}; each was compared with the trained model "
        "before it was published.",
    ]


def _summary(architecture: str) -> str:
    """What an architecture is, where it is known: it may be one that its author did not publish."""
    try:
        known = spec(architecture)
    except UserError:
        return "A recommender."
    return f"{known.summary} Paper: {known.paper}." if known.paper else known.summary


def _data(manifest: Manifest) -> list[str]:
    data, source = manifest["data"], manifest.get("source") or ""
    terms = DATASETS[source].terms if source in DATASETS else "not stated"
    interactions = sum((manifest.get("interactions") or {}).values())
    counts = [f"{data['users']:,} users", f"{data['items']:,} items"]
    counts += [f"{interactions:,} interactions"] if interactions else []
    lines = [
        f"{_listed(counts)}; ids of others are unknown.",
        *data["notes"],
        f"Licence of the data: {terms}. Recozoo grants no rights to the data nor "
        "to a model trained on it; who publishes this bundle states the licence in the header of this file.",
    ]
    return ["## Data", "\n".join(f"- {line}" for line in lines)]


def _metrics(manifest: Manifest) -> list[str]:
    if not manifest["metrics"]:
        return ["## Metrics", "None: the model was not evaluated, or the data was not split."]
    baseline = manifest.get("baseline") or {}
    sections = [_evaluation(value, baseline.get(key)) for key, value in manifest["metrics"].items()]
    return ["## Metrics", *sections, _about_baseline(manifest, baseline)]


def _evaluation(evaluation: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    beside = baseline["metrics"] if baseline else {}
    columns = ["metric", "this model", "95% interval", *([BASELINE, "95% interval"] if beside else [])]
    rows = [
        [metric, *_interval(value), *(_interval(beside.get(metric)) if beside else [])]
        for metric, value in evaluation["metrics"].items()
    ]
    return f"Protocol `{evaluation['protocol']}`: {evaluation['about']}\n\n{_table(columns, rows)}"


def _interval(value: Mapping[str, float] | None) -> list[str]:
    return [f"{value['mean']:.4f}", f"{value['low']:.4f} to {value['high']:.4f}"] if value else ["-", "-"]


def _about_baseline(manifest: Manifest, baseline: Mapping[str, Any]) -> str:
    intervals = "Intervals are bootstrapped over users."
    if manifest.get("refreshed"):
        intervals += " The figures are those of the training run, before another catalogue was put into the bundle."
    if manifest["recipe"]["name"] == BASELINE:
        return f"{intervals} This model is the baseline that others are compared with."
    if baseline:
        said = "recommends to everybody what most users of the training part met, on the same split"
        return f"{intervals} `{BASELINE}` {said}."
    return (
        f"{intervals} There are no figures of `{BASELINE}` beside them: it says nothing of ratings, and needs the "
        "training interactions, which a stream and a bundle do not keep."
    )


def _formats(manifest: Manifest) -> list[str]:
    facts = manifest["artefact_facts"]
    rows = [
        [
            TITLES[artefact],
            f"`{_path(artefact, manifest['version'])}`",
            _bytes(measured["bytes"]),
            f"{measured['milliseconds']:.3g} ms",
            _parity(artefact, manifest["checks"]),
        ]
        for artefact, measured in facts["artefacts"].items()
    ]
    return [
        "## Formats",
        _table(["format", "path", "size", "latency", "parity with the trained model"], rows),
        f"Latency is the median of calls of `recommend` for one query, {manifest['k']} items out of "
        f"{manifest['data']['items']:,}, raw ids in and out (of TFLite with the lookups in Python), measured at export "
        f"on {facts['machine']}. Parity is the worst figure of all checks; they are listed under "
        "[Verification](#verification).",
    ]


def _path(artefact: str, version: str) -> str:
    if artefact == saved_model.NAME:
        return f"{saved_model.NAME}/{version}"
    if artefact == onnx.NAME:
        return f"{onnx.NAME}/*.onnx"
    return f"{tflite.NAME}/{tflite.file_name(artefact.partition('-')[2] or None)}"


def _bytes(number: float) -> str:
    """A size for people, e.g. `1.2 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _parity(artefact: str, checks: Sequence[Mapping[str, Any]]) -> str:
    """The worst figure of every kind of check of an artefact."""
    figures: dict[str, list[float]] = {}
    for check in checks:
        if check["artefact"] == artefact:
            figures.setdefault(check["what"], []).append(check["figure"])
    worst = {what: min(found) if what.endswith("overlap") else max(found) for what, found in figures.items()}
    return ", ".join(f"{what} {_figure(what, figure)}" for what, figure in worst.items())


def _figure(what: str, figure: float) -> str:
    return f"{figure:.1e}" if what == "largest difference" else f"{figure:.4f}"


def _endpoints(manifest: Manifest, endpoints: Mapping[str, Endpoint]) -> list[str]:
    item = next(info for info in endpoints["recommend"].outputs if info.name == "items")
    kind = "strings" if item.dtype == "string" else "64-bit integers"
    return [
        "## Endpoints",
        "Names, order, dtypes and meaning are the same in every format, and ids go in and out as they are in the data: "
        f"item ids are {kind}. In TFLite files alone ids are indices (int32): 0 is padding, 1 unknown, and known "
        f"values start at 2 in the order of `{tflite.VOCABULARIES}`, which is attached to the file.",
        f"- **k**: `recommend` always gives {manifest['k']} items, best first. For fewer, take the first ones: they "
        "are what a smaller k would give. Places for which no item is left have the item "
        f"`{json.dumps(item.padding)}` and the score {NO_ITEM_SCORE:.4g}.\n"
        "- **Unknown ids** are legal. For every input with ids there is an output `unknown_...` of the same shape, 1 "
        "where the id is not in the training data.\n"
        "- **Rows**: all inputs of a call have the same number of rows, one for each query.",
        *(_endpoint(endpoint) for endpoint in endpoints.values()),
    ]


def _endpoint(endpoint: Endpoint) -> str:
    rows = [
        [kind, f"`{info.name}`", info.dtype, _shape(info.shape), info.about]
        for kind, infos in (("input", endpoint.inputs), ("output", endpoint.outputs))
        for info in infos
    ]
    return f"### {endpoint.name}\n\n{_table(['', 'name', 'dtype', 'shape', 'meaning'], rows)}"


def _shape(shape: Sequence[int | None]) -> str:
    return ", ".join(["rows", *("any" if size is None else str(size) for size in shape[1:])])


def _example(endpoint: Endpoint, requests: Values) -> Values:
    """A real query, `[1, ...]`, of whose lists only the last few ids are kept, so that it can be read."""
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


def _how_to_call(
    manifest: Manifest, endpoints: Mapping[str, Endpoint], examples: Mapping[str, Values], name: str
) -> list[str]:
    recommend, query = endpoints["recommend"], examples["recommend"]
    sections = [
        "## How to call it",
        "A query of a real user. Everything is run in the folder of the bundle, and only TF Serving is started in the "
        "folder above.",
    ]
    if onnx.NAME in manifest["formats"]:
        sections += [
            "### Python\n\n" + _code("python", onnx_examples.python_example(recommend, query)),
            "### JavaScript\n\n" + _code("javascript", onnx_examples.javascript_example(recommend, query)),
            "Other endpoints are files of their own beside `recommend.onnx` and are called alike.",
        ]
    if saved_model.NAME in manifest["formats"]:
        served = manifest["recipe"]["name"]
        asked = [tf_serving.rest_example(served, endpoints[key], examples[key]) for key in endpoints]
        sections += [
            "### TF Serving\n\n" + _code("bash", tf_serving.docker_command(name)),
            "### curl\n\n" + _code("bash", "\n\n".join(asked)),
            "Lists begin with padding so that the server may join requests. A row form (`instances`) works as well.",
            "### gRPC\n\n" + _code("python", tf_serving.grpc_example(".", recommend, query)),
        ]
    if tflite.NAME in manifest["formats"]:
        raw = {key: value[0] for key, value in query.items()}
        sections += [
            "### TFLite in Python\n\n" + _code("python", tflite.python_example(manifest, raw)),
            "### TFLite in Kotlin and Swift",
            _folded("Kotlin", tflite.kotlin_example(manifest, raw)),
            _folded("Swift", tflite.swift_example(manifest, raw)),
        ]
    return sections


def _code(language: str, lines: str) -> str:
    return f"```{language}\n{lines.rstrip()}\n```"


def _folded(language: str, lines: str) -> str:
    return f"<details><summary>{language}</summary>\n\n{_code(language.lower(), lines)}\n\n</details>"


WRONG_REQUESTS = {
    saved_model.NAME: [
        [
            "TF Serving",
            "`INVALID_ARGUMENT` (REST: 400) that names the missing inputs",
            "`INVALID_ARGUMENT` (REST: 400) with both dtypes",
        ],
        [
            "`export.serving.Client`",
            "`MissingInputError` that names the input; nothing is sent",
            "`WrongDtypeError` that names the input; nothing is sent",
        ],
        [
            "SavedModel in Python",
            "`TypeError` that names the input",
            "`InvalidArgumentError` with both dtypes and the place of the input, in the order of the alphabet from 0",
        ],
    ],
    onnx.NAME: [
        [
            "ONNX Runtime",
            "`ValueError` that names the input",
            "`InvalidArgument` with both dtypes, but without the name of the input",
        ]
    ],
    tflite.NAME: [
        [
            "LiteRT",
            "`ValueError` with the number of inputs expected and given, but without their names",
            "`ValueError` with both dtypes that names the input as `recommend_<name>:0`",
        ]
    ],
}


def _wrong_requests(manifest: Manifest) -> list[str]:
    rows = [row for name in manifest["formats"] for row in WRONG_REQUESTS[name]]
    return [
        "## Wrong requests",
        "An unknown id is no error. What a caller gets for a request that does not fit:",
        _table(["runtime", "an input is missing", "an input has another dtype"], rows),
    ]


def _verification(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [
            "✓" if check["passed"] else "✗",
            TITLES[check["artefact"]],
            check["endpoint"],
            str(check["batch_size"]),
            f"{check['queries']:,}",
            check["what"],
            _figure(check["what"], check["figure"]),
            f"{'at least' if check['what'].endswith('overlap') else 'at most'} {check['limit']:g}",
        ]
        for check in checks
    ]
    columns = ["", "format", "endpoint", "batch", "queries", "what", "figure", "limit"]
    return [
        "## Verification",
        "Every artefact answered the queries of `reference.npz` (random ones, those of real users, and the edges of "
        "the schema) as the trained model did: scores within the limit (above 1 in size, that share of them) and "
        "equal rankings, ties aside. Quantized files keep to limits of their own. `zoo verify` does it again, wherever "
        "the bundle is.",
        _table(columns, rows),
    ]


def _limits(manifest: Manifest) -> list[str]:
    query = [info for info in manifest["endpoints"]["recommend"]["inputs"] if info["name"] == "history"]
    lines = [
        f"`recommend` gives {manifest['k']} items at most, which was fixed at export.",
        "A user who is not in the training data gets what the model says of nobody in particular; an item that is not "
        "is never recommended, and its score says nothing.",
        "Nothing is filtered by itself, what a user met before included: put it into `exclude`.",
        *(f"A history has {info['shape'][1]} places: the last items met, padded in front." for info in query),
        *_limits_of_metrics(manifest),
        *_limits_of_tflite(manifest),
    ]
    if manifest["withdrawn"]:
        lines.append(f"{len(manifest['withdrawn'])} items are withdrawn: known, but never recommended.")
    return ["## Limits", "\n".join(f"- {line}" for line in lines)]


def _limits_of_metrics(manifest: Manifest) -> Iterable[str]:
    """What is to be said of a model that is not better than recommending what is popular."""
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


def _limits_of_tflite(manifest: Manifest) -> Iterable[str]:
    if fixed := manifest["tflite"]:
        yield (
            f"The TFLite files take {fixed['batch']} queries a call and lists of {fixed['list_length']} ids, neither "
            "more nor fewer: fill up with padding."
        )
    for variant in manifest["options"]["quantize"]:
        artefact = f"{tflite.NAME}-{variant}"
        yield f"{TITLES[artefact]}: answers differ from the trained model's ({_parity(artefact, manifest['checks'])})."
    if "int8" in manifest["options"]["quantize"]:
        yield (
            f"{TITLES['tflite-int8']}: ids, scores and vectors that go in and out stay int32 and float32, and the "
            "ranges of layers were measured on queries of users of this data."
        )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
