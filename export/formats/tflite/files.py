"""The names and sizes in a folder of TFLite files."""

from __future__ import annotations

from collections.abc import Sequence

FILE = "model.tflite"
VOCABULARIES = "vocabularies.json"
# With a fixed batch size, `exclude`, `candidates` and the `items` of `score` hold so many items in every call.
LIST_LENGTH = 500


def file_name(variant: str | None = None) -> str:
    """The file of a variant, e.g. `"model-int8.tflite"`; without a variant the float model."""
    return FILE if variant is None else f"model-{variant}.tflite"


def fixed_shape(shape: Sequence[int | None], batch: int, list_length: int) -> tuple[int, ...]:
    """A shape with a size in place of every `None`: the batch size first, then the length of lists."""
    return (batch, *(list_length if size is None else size for size in shape[1:]))
