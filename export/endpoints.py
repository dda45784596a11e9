"""A recommender's endpoints as graphs over indices, built once for all formats."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.recommender import NO_ITEM_SCORE, Recommender, check_k
from zoo.schema import Feature

DEFAULT_K = 100


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of an endpoint, the same in every format.

    Args:
        name: Its name.
        dtype: `"string"`, `"int64"` or `"float32"`, as a caller sees it.
        shape: Its shape; `None` where any size goes.
        about: What it means.
        vocabulary: The vocabulary its raw values are looked up in, if any.
        padding: The value that stands for nothing.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    about: str
    vocabulary: str | None = None
    padding: str | int | float = 0.0

    @property
    def index_spec(self) -> tf.TensorSpec:
        """The tensor inside the vocabularies: indices instead of raw values."""
        return tf.TensorSpec(self.shape, tf.int32 if self.vocabulary else tf.float32, name=self.name)

    @property
    def raw_spec(self) -> tf.TensorSpec:
        """The tensor as a caller sees it."""
        return tf.TensorSpec(self.shape, self.dtype, name=self.name)


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A named function of a bundle.

    Args:
        name: `"recommend"` or `"score"`.
        inputs: Its inputs, in order.
        outputs: Its outputs, in order.
    """

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def to_json(self) -> dict[str, Any]:
        """The endpoint for the manifest."""
        return {
            "inputs": [dataclasses.asdict(info) for info in self.inputs],
            "outputs": [dataclasses.asdict(info) for info in self.outputs],
        }

    @classmethod
    def from_json(cls, name: str, values: dict[str, Any]) -> Endpoint:
        """The endpoint that `to_json` described."""
        infos = (
            tuple(TensorInfo(**{**info, "shape": tuple(info["shape"])}) for info in values[part])
            for part in ("inputs", "outputs")
        )
        return cls(name, *infos)


class EndpointGraphs:
    """The endpoints of one trained recommender over indices and raw numbers.

    Args:
        model: The recommender.
        dataset: The data it was trained on, for its vocabularies.
        k: How many items `recommend` gives; by default 100, or the whole of a smaller catalogue.
    """

    def __init__(self, model: Recommender, dataset: Dataset, k: int | None = None) -> None:
        known = len(dataset.vocabularies["item"])
        self.k = min(DEFAULT_K, known) if k is None else k
        check_k(self.k, model.num_items)
        self._model = model
        self.endpoints = describe(model, dataset, self.k)
        # The encoded catalogue is stored in place of the item tower that made it.
        self.catalogue = [tf.Variable(rows, trainable=False) for rows in model.encode_catalogue()]

    def call(self, endpoint: Endpoint, tensors: dict[str, Any]) -> dict[str, Any]:
        """Runs an endpoint on index tensors, as a graph operation that reads the variables."""
        return self._call(endpoint, tensors, [tf.convert_to_tensor(rows) for rows in self.catalogue])

    def function(self, endpoint: Endpoint) -> Any:
        """The endpoint as a `tf.function` of its inputs in order, which reads the variables."""
        return self._function(endpoint, self.call)

    def constant_function(self, endpoint: Endpoint) -> Any:
        """The endpoint as a `tf.function` that captures weights and catalogue as tensors instead of variables."""
        weights = [(variable, tf.constant(variable.numpy())) for variable in self._model.variables]
        catalogue = [tf.constant(rows.numpy()) for rows in self.catalogue]

        def call(endpoint: Endpoint, tensors: dict[str, Any]) -> dict[str, Any]:
            with keras.StatelessScope(state_mapping=weights):
                return self._call(endpoint, tensors, catalogue)

        return self._function(endpoint, call)

    def _function(self, endpoint: Endpoint, call: Callable[..., dict[str, Any]]) -> Any:
        names = [info.name for info in endpoint.inputs]

        def run(*tensors: Any) -> dict[str, Any]:
            return call(endpoint, dict(zip(names, tensors, strict=True)))

        return tf.function(run, input_signature=[info.index_spec for info in endpoint.inputs], autograph=False)

    def _call(self, endpoint: Endpoint, tensors: dict[str, Any], catalogue: list[Any]) -> dict[str, Any]:
        query = {name: self._standardised(name, tensors[name]) for name in self._model.query_names}
        if endpoint.name == "score":
            return {"scores": self._model.score_items(query, tensors["items"], catalogue)}
        items, scores = self._model.rank(self.k, query, tensors["exclude"], tensors["candidates"], catalogue)
        return {"items": items, "scores": scores}

    def _standardised(self, name: str, values: Any) -> Any:
        feature = self._model.schema[name]
        if feature.kind != "numeric":
            return values
        # A number that is not known is sent as NaN and counts as the mean.
        known = tf.where(tf.math.is_nan(values), feature.mean, values)
        return (known - feature.mean) / feature.std


def describe(model: Recommender, dataset: Dataset, k: int) -> tuple[Endpoint, ...]:
    """The endpoints of a recommender: `recommend` and `score`."""
    vocabularies = dataset.vocabularies
    nothing = vocabularies["item"].padding_value
    dtype = _dtype(vocabularies["item"].is_integer)
    items: dict[str, Any] = {"dtype": dtype, "vocabulary": "item", "padding": nothing}
    query = [_input(model.schema[name], dataset) for name in model.query_names]
    exclude = TensorInfo("exclude", shape=(None, None), about=f"Items never to return; pad with {nothing!r}.", **items)
    candidates = TensorInfo(
        "candidates",
        shape=(None, None),
        about=f"Items to choose from; pad with {nothing!r}; a row of padding means the whole catalogue.",
        **items,
    )
    wanted = TensorInfo("items", shape=(None, None), about="Items to score for each query.", **items)
    best = TensorInfo(
        "items",
        shape=(None, k),
        about=f"The best items, best first; {nothing!r} where none is left. A smaller k is a slice.",
        **items,
    )
    best_scores = TensorInfo("scores", "float32", (None, k), f"Their scores; {NO_ITEM_SCORE} where no item is left.")
    scores = TensorInfo("scores", "float32", (None, None), "The score of each item.")
    return (
        Endpoint("recommend", (*query, exclude, candidates), (best, best_scores)),
        Endpoint("score", (*query, wanted), (scores,)),
    )


def _input(feature: Feature, dataset: Dataset) -> TensorInfo:
    vocabulary = _vocabulary(feature) if feature.is_indexed else None
    return TensorInfo(
        name=feature.name,
        dtype=_dtype(dataset.vocabularies[vocabulary].is_integer) if vocabulary else "float32",
        shape=(None, *feature.shape),
        about=_about(feature),
        vocabulary=vocabulary,
        padding=dataset.vocabularies[vocabulary].padding_value if vocabulary else 0.0,
    )


def _vocabulary(feature: Feature) -> str:
    return "item" if feature.name == "history" else feature.name


def _dtype(is_integer: bool) -> str:
    return "int64" if is_integer else "string"


def _about(feature: Feature) -> str:
    if feature.name == "user":
        return "The user; an unknown one is legal."
    if feature.name == "history":
        return f"The last {feature.length} items met, most recent last, padded in front."
    if feature.name == "history_rating":
        return "Their ratings, 0 for padding (1 for every item where there are no ratings)."
    if feature.kind == "numeric":
        return f"A {feature.role} feature as in the data; NaN where it is not known."
    if feature.kind == "text":
        return f"A {feature.role} text as the vector that the run's text encoder gives; zeros where there is none."
    if feature.length is not None:
        return f"A {feature.role} feature: up to {feature.length} values, padded behind."
    return f"A {feature.role} feature as in the data; an unknown value is legal."


@contextlib.contextmanager
def unrolled(model: keras.Model) -> Iterator[None]:
    """While this lasts, recurrent layers are traced step by step instead of as a loop over a tensor list."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN) and not layer.unroll]
    for layer in layers:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in layers:
            layer.unroll = False
