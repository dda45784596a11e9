"""The operator sets of ONNX that can be written."""

from __future__ import annotations

from zoo.errors import UserError

# The first in which ScatterND can add up, and the last that the oldest ONNX Runtime of `pyproject.toml` runs.
OLDEST_OPSET = 16
DEFAULT_OPSET = 17
LATEST_OPSET = 21


def check_opset(opset: object) -> int:
    """The operator set to write, `DEFAULT_OPSET` for `None`.

    Raises:
        UserError: If it cannot be written.
    """
    if opset is None:
        return DEFAULT_OPSET
    if isinstance(opset, bool) or not isinstance(opset, int) or not OLDEST_OPSET <= opset <= LATEST_OPSET:
        raise UserError(
            f"Cannot write ONNX opset {opset!r}. Expected a whole number from {OLDEST_OPSET} to {LATEST_OPSET}."
        )
    return opset
