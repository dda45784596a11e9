"""Requests to an ONNX file in Python and JavaScript, generated for the actual model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.endpoints import Endpoint, TensorInfo

# At most so many of the best items are printed.
SHOWN = 10
NUMPY_DTYPES = {"string": "object", "int64": "np.int64", "float32": "np.float32"}
JAVASCRIPT_ARRAYS = {"string": "{}", "int64": "BigInt64Array.from({})", "float32": "Float32Array.from({})"}


def python_example(endpoint: Endpoint, query: Mapping[str, np.ndarray]) -> str:
    """Lines of Python that ask for recommendations by ONNX Runtime; run in the folder of the bundle.

    Args:
        endpoint: The endpoint `recommend`.
        query: Its raw inputs by name, `[1, ...]`.

    Returns:
        The lines.
    """
    feeds = "\n".join(f"    {info.name!r}: {_in_python(info, query[info.name])}," for info in endpoint.inputs)
    return f"""\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("onnx/{endpoint.name}.onnx")
query = {{
{feeds}
}}
items, scores = session.run(["items", "scores"], query)
print(list(zip(items[0].tolist(), scores[0].tolist()))[:{SHOWN}])
"""


def javascript_example(endpoint: Endpoint, query: Mapping[str, np.ndarray]) -> str:
    """The same in JavaScript, for Node and for browsers.

    Args:
        endpoint: See `python_example`.
        query: See `python_example`.

    Returns:
        The lines of a module.
    """
    feeds = "\n".join(f"  {_key(info.name)}: {_in_javascript(info, query[info.name])}," for info in endpoint.inputs)
    return f"""\
import * as ort from "onnxruntime-node"; // in a browser: "onnxruntime-web"

const session = await ort.InferenceSession.create("onnx/{endpoint.name}.onnx");
const {{ items, scores }} = await session.run({{
{feeds}
}});
const best = Array.from(items.data, (item, place) => [item, scores.data[place]]);
console.log(best.slice(0, {SHOWN}));
"""


def _in_python(info: TensorInfo, values: np.ndarray) -> str:
    number, rest = _leading_padding(info, values)
    listed = f"[{', '.join(map(_python_value, rest))}]"
    row = f"[{_python_value(info.padding)}] * {number} + {listed}" if number else listed
    return f"np.array({row if values.ndim == 1 else f'[{row}]'}, {NUMPY_DTYPES[info.dtype]})"


def _in_javascript(info: TensorInfo, values: np.ndarray) -> str:
    number, rest = _leading_padding(info, values)
    filled = [f"...Array({number}).fill({_javascript_value(info.padding)})"] if number else []
    data = JAVASCRIPT_ARRAYS[info.dtype].format(f"[{', '.join([*filled, *map(_javascript_value, rest)])}]")
    return f"new ort.Tensor({json.dumps(info.dtype)}, {data}, {list(values.shape)})"


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name, ensure_ascii=False)


def _leading_padding(info: TensorInfo, values: np.ndarray) -> tuple[int, list[Any]]:
    """How much padding a row begins with, if it is worth a count, and the values after it."""
    (row,) = values.reshape(1, -1).tolist()
    number = next((place for place, value in enumerate(row) if value != info.padding), len(row))
    return (number, row[number:]) if number > 2 else (0, row)


def _python_value(value: Any) -> str:
    if isinstance(value, float):
        return 'float("nan")' if math.isnan(value) else str(round(value, 4))
    return repr(value)


def _javascript_value(value: Any) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else str(round(value, 4))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value}n"
