"""The model card: what a person needs to know before using a bundle."""

from __future__ import annotations

import json
from typing import Any

from export import onnx, saved_model, tflite
from export.verification import TOLERANCE


def model_card(manifest: dict[str, Any]) -> str:
    """The `README.md` of a bundle, from its manifest.

    Args:
        manifest: The manifest, without the files.

    Returns:
        Markdown.
    """
    recipe, data = manifest["recipe"], manifest["data"]
    parts = [
        f"# {recipe['name']} on {data['name']}",
        f"A recommender of the architecture `{recipe['name']}` ({manifest['family']}), exported by recozoo. "
        f"Hparams: `{json.dumps(recipe['hparams'])}`.",
        "## Data",
        "\n".join(f"- {note}" for note in data["notes"]) or "Nothing of note.",
        "## Metrics",
        _metrics(manifest["metrics"]),
        "## Endpoints",
        "Names, order and meaning are the same in every format. The batch size is free.",
        *(_endpoint(name, endpoint) for name, endpoint in manifest["endpoints"].items()),
        "## How to call it",
        *(HOW_TO_CALL[name](manifest) for name in manifest["formats"]),
        "## Parity",
        f"Every artefact was asked the queries of `{manifest['reference']}` and compared with the trained model: "
        f"scores within {TOLERANCE:g} (of their size, above 1) and equal rankings, ties aside.",
        _parity(manifest["parity"]),
        "## Limits",
        f"`recommend` gives up to {manifest['k']} items. Items and users that were not in the training data are "
        "legal but unknown: such a user gets what the model says of nobody in particular, such an item is never "
        "recommended. Histories are padded in front to their full length. `exclude` filters; nothing is filtered "
        "by itself, seen items included.",
    ]
    return "\n\n".join(parts) + "\n"


def _metrics(metrics: dict[str, Any]) -> str:
    if not metrics:
        return "None: the data was not split."
    lines = []
    for evaluation in metrics.values():
        lines += [f"Protocol `{evaluation['protocol']}`: {evaluation['about']}", ""]
        lines += ["| metric | value | 95% interval |", "| --- | --- | --- |"]
        lines += [
            f"| {name} | {value['mean']:.4f} | {value['low']:.4f} to {value['high']:.4f} |"
            for name, value in evaluation["metrics"].items()
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def _endpoint(name: str, endpoint: dict[str, Any]) -> str:
    lines = [f"### {name}", "", "| | name | dtype | shape | meaning |", "| --- | --- | --- | --- | --- |"]
    for part in ("inputs", "outputs"):
        for info in endpoint[part]:
            shape = ", ".join("any" if size is None else str(size) for size in info["shape"])
            lines.append(f"| {part[:-1]} | {info['name']} | {info['dtype']} | {shape} | {info['about']} |")
    return "\n".join(lines)


def _tf_serving(manifest: dict[str, Any]) -> str:
    name = manifest["recipe"]["name"]
    inputs = {info["name"]: _nested(info) for info in manifest["endpoints"]["recommend"]["inputs"]}
    request = json.dumps({"signature_name": "recommend", "inputs": inputs})
    return f"""### TF Serving

```bash
docker run -p 8501:8501 -v "$PWD/{saved_model.NAME}:/models/{name}" -e MODEL_NAME={name} tensorflow/serving
curl -d '{request}' localhost:8501/v1/models/{name}:predict
```"""


def _onnx_runtime(manifest: dict[str, Any]) -> str:
    feeds = ", ".join(f'"{info["name"]}": {_array(info)}' for info in manifest["endpoints"]["recommend"]["inputs"])
    return f"""### ONNX Runtime

```python
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("{onnx.NAME}/recommend.onnx")
items, scores = session.run(None, {{{feeds}}})
```"""


def _litert(manifest: dict[str, Any]) -> str:
    infos = manifest["endpoints"]["recommend"]["inputs"]
    feeds = ", ".join(
        f"{info['name']}={_array({**info, 'dtype': 'int32', 'padding': 0} if info['vocabulary'] else info)}"
        for info in infos
    )
    return f"""### TFLite

Ids are indices here: 0 is padding, 1 unknown, and known values start at 2 in the order of `{tflite.VOCABULARIES}`,
which is attached to the file.

```python
import json, zipfile, numpy as np
from ai_edge_litert.interpreter import Interpreter
path = "{tflite.NAME}/{tflite.FILE}"
vocabularies = json.loads(zipfile.ZipFile(path).read("{tflite.VOCABULARIES}"))
recommend = Interpreter(path).get_signature_runner("recommend")
answer = recommend({feeds})
```"""


def _nested(info: dict[str, Any]) -> Any:
    """One row of padding as JSON."""
    value: Any = info["padding"]
    for size in reversed(info["shape"][1:]):
        value = [value] * (size or 1)
    return [value]


def _array(info: dict[str, Any]) -> str:
    """Code for an array of padding."""
    shape = tuple(1 if size is None else size for size in info["shape"])
    dtype = "object" if info["dtype"] == "string" else f"np.{info['dtype']}"
    return f"np.full({shape}, {info['padding']!r}, {dtype})"


def _parity(checks: list[dict[str, Any]]) -> str:
    lines = [
        "| artefact | endpoint | batch | queries | largest difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {check['format']} | {check['endpoint']} | {check['batch_size']} | {check['queries']} "
        f"| {check['largest_difference']:.1e} |"
        for check in checks
    ]
    return "\n".join(lines)


HOW_TO_CALL = {saved_model.NAME: _tf_serving, onnx.NAME: _onnx_runtime, tflite.NAME: _litert}
