"""Example code that asks an ONNX file, in Python and JavaScript."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from export.endpoints import Endpoint, TensorInfo
from export.rendering import render
from export.values import Values

TEMPLATES = Path(__file__).parents[1] / "templates"
RawValue = str | int | float

# The example prints so many of the best items at most.
SHOWN = 10
NUMPY_DTYPES = {"string": "object", "int64": "np.int64", "float32": "np.float32"}
JAVASCRIPT_ARRAYS = {"string": "{}", "int64": "BigInt64Array.from({})", "float32": "Float32Array.from({})"}


def how_to_call(recommend: Endpoint, query: Values) -> str:
    """The part of the model card on ONNX, in Markdown.

    Args:
        recommend: The endpoint `recommend`.
        query: Its raw inputs by name, `[1, ...]`.

    Returns:
        Markdown.
    """
    python, javascript = python_example(recommend, query), javascript_example(recommend, query)
    return render(TEMPLATES / "onnx.md.jinja", python=python, javascript=javascript).rstrip()


def python_example(recommend: Endpoint, query: Values) -> str:
    """Lines of Python that ask for recommendations by ONNX Runtime. They run in the folder of the bundle.

    Args:
        recommend: See `how_to_call`.
        query: See `how_to_call`.

    Returns:
        The lines.
    """
    inputs = [{"key": repr(info.name), "code": _in_python(info, query[info.name])} for info in recommend.inputs]
    return render(TEMPLATES / "onnx.py.jinja", inputs=inputs, shown=SHOWN)


def javascript_example(recommend: Endpoint, query: Values) -> str:
    """Lines of a JavaScript module that ask for recommendations, for Node and for browsers.

    Args:
        recommend: See `how_to_call`.
        query: See `how_to_call`.

    Returns:
        The lines.
    """
    inputs = [{"key": _key(info.name), "code": _in_javascript(info, query[info.name])} for info in recommend.inputs]
    return render(TEMPLATES / "onnx.js.jinja", inputs=inputs, shown=SHOWN)


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


def _leading_padding(info: TensorInfo, values: np.ndarray) -> tuple[int, list[RawValue]]:
    """How much padding a row begins with, if it is worth a count, and the values after it."""
    (row,) = values.reshape(1, -1).tolist()
    number = next((place for place, value in enumerate(row) if value != info.padding), len(row))
    return (number, row[number:]) if number > 2 else (0, row)


def _python_value(value: RawValue) -> str:
    if isinstance(value, float):
        return 'float("nan")' if math.isnan(value) else str(round(value, 4))
    return repr(value)


def _javascript_value(value: RawValue) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else str(round(value, 4))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value}n"
