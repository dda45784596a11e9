"""Raw values of requests: the batches that they are sent in, and the indices and numbers that a model reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from export.endpoints import Endpoint, TensorInfo
    from zoo.schema import Feature, Vocabulary

    Vocabularies = Mapping[str, Vocabulary]

# Tensors by name.
Values = dict[str, np.ndarray]


def batches(inputs: Values, size: int) -> Iterator[Values]:
    """The inputs, `size` rows at a time."""
    for start in range(0, len(next(iter(inputs.values()))), size):
        yield {name: values[start : start + size] for name, values in inputs.items()}


def encoded_ids(values: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Indices of raw values of any shape."""
    return vocabulary.index(values.ravel()).reshape(values.shape)


def encoded_numbers(feature: Feature, values: np.ndarray) -> np.ndarray:
    """Raw numbers, or text vectors, of a query feature as the model reads them. What is not finite is the mean."""
    known = np.where(np.isfinite(values), values, feature.mean)
    return (known if feature.kind == "text" else (known - feature.mean) / feature.std).astype(np.float32)


def output_of(endpoint: Endpoint, name: str) -> TensorInfo:
    """The output of an endpoint that has a name."""
    return next(info for info in endpoint.outputs if info.name == name)


def indexed(endpoint: Endpoint, values: Values, vocabularies: Vocabularies) -> Values:
    """Raw inputs of an endpoint, with indices in place of what is looked up in a vocabulary."""
    return {
        info.name: encoded_ids(values[info.name], vocabularies[info.vocabulary])
        if info.vocabulary
        else values[info.name]
        for info in endpoint.inputs
    }


def vocabularies_of(endpoints: Iterable[Endpoint], vocabularies: Vocabularies) -> dict[str, Vocabulary]:
    """The vocabularies that an input or output of an endpoint is looked up in."""
    used = {name for endpoint in endpoints for name in _vocabularies_of(endpoint)}
    return {name: vocabulary for name, vocabulary in vocabularies.items() if name in used}


def _vocabularies_of(endpoint: Endpoint) -> set[str | None]:
    return {info.vocabulary for info in (*endpoint.inputs, *endpoint.outputs)}


def without_padding(name: str, values: np.ndarray, inputs: Values) -> np.ndarray:
    """An output without the columns that stand for padding behind a list of the request.

    Args:
        name: The name of the output.
        values: The output.
        inputs: The inputs as they were before they were filled up.
    """
    source = "items" if name == "scores" and "items" in inputs else name.removeprefix("unknown_")
    return values[:, : inputs[source].shape[1]] if source in inputs and values.ndim > 1 else values


def storable(values: np.ndarray) -> np.ndarray:
    """Raw values that a file can hold without pickles. Strings as objects become strings of a fixed width."""
    return values.astype(str) if values.dtype == object else values


def stored(values: np.ndarray) -> np.ndarray:
    """The raw values that `storable` changed."""
    return values.astype(object) if values.dtype.kind == "U" else values
