"""A recommender's endpoints as graphs over indices, built once for all formats."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import keras
import numpy as np
import tensorflow as tf

from zoo.families import Recommender, Towers, check_k
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.keras_internals import flatten_layers
from zoo.schema import UNKNOWN, Feature, Vocabulary

if TYPE_CHECKING:
    from zoo.types import Tensor

    # Tensors by the name of an input or output.
    Tensors: TypeAlias = dict[str, Tensor]

DEFAULT_K = 100
# For every input that is looked up in a vocabulary, an output says which of its values are unknown.
UNKNOWN_PREFIX = "unknown_"


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of an endpoint, the same in every format.

    Args:
        name: Its name.
        dtype: `"string"`, `"int64"`, `"int32"` or `"float32"`, as a caller sees it.
        shape: Its shape. `None` stands for any size.
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
        name: `"recommend"`, `"score"`, and for towers `"embed_query"` and `"embed_items"`.
        inputs: Its inputs, in order.
        outputs: Its outputs, in order.
    """

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def to_json(self) -> EndpointJson:
        """The endpoint for the manifest."""
        return {
            "inputs": [_to_json(info) for info in self.inputs],
            "outputs": [_to_json(info) for info in self.outputs],
        }

    @classmethod
    def from_json(cls, name: str, values: EndpointJson) -> Endpoint:
        """The endpoint that `to_json` described."""
        inputs, outputs = (tuple(map(_from_json, infos)) for infos in (values["inputs"], values["outputs"]))
        return cls(name, inputs, outputs)


class TensorJson(TypedDict):
    """A `TensorInfo` in a manifest."""

    name: str
    dtype: str
    shape: list[int | None]
    about: str
    vocabulary: str | None
    padding: str | int | float


class EndpointJson(TypedDict):
    """An `Endpoint` in a manifest."""

    inputs: list[TensorJson]
    outputs: list[TensorJson]


def _to_json(info: TensorInfo) -> TensorJson:
    return {
        "name": info.name,
        "dtype": info.dtype,
        "shape": list(info.shape),
        "about": info.about,
        "vocabulary": info.vocabulary,
        "padding": info.padding,
    }


def _from_json(info: TensorJson) -> TensorInfo:
    shape = tuple(info["shape"])
    return TensorInfo(info["name"], info["dtype"], shape, info["about"], info["vocabulary"], info["padding"])


class EndpointGraphs:
    """The endpoints of one trained recommender over indices and raw numbers.

    Args:
        model: The recommender.
        vocabularies: What raw values are looked up in, by name.
        k: How many items `recommend` gives; by default 100, or the whole of a smaller catalogue.
        withdrawn: Item indices that are never recommended.
    """

    def __init__(
        self,
        model: Recommender,
        vocabularies: Mapping[str, Vocabulary],
        k: int | None = None,
        withdrawn: Sequence[int] = (),
    ) -> None:
        self.k = min(DEFAULT_K, len(vocabularies["item"])) if k is None else k
        check_k(self.k, model.num_items)
        self.model = model
        self.endpoints = describe(model, vocabularies, self.k)
        # The encoded catalogue is stored in place of the item tower that made it.
        self.catalogue = [tf.Variable(rows, trainable=False) for rows in model.encode_catalogue()]
        self.offered = tf.constant(offered_items(model.num_items, withdrawn)) if len(withdrawn) else None

    def call(self, endpoint: Endpoint, tensors: Tensors) -> Tensors:
        """The outputs of an endpoint for index tensors, as graph operations that read the variables.

        Args:
            endpoint: The endpoint.
            tensors: Its inputs by name.

        Returns:
            Its outputs by name.
        """
        return self._call(endpoint, tensors, [tf.convert_to_tensor(rows) for rows in self.catalogue])

    def function(self, endpoint: Endpoint) -> tf.types.experimental.GenericFunction:
        """The endpoint as a `tf.function` of its inputs in order, which reads the variables."""
        return self._function(endpoint, self.call)

    def constant_function(self, endpoint: Endpoint) -> tf.types.experimental.GenericFunction:
        """The endpoint as a `tf.function` that captures weights and catalogue as tensors instead of variables."""
        # The values of the variables themselves, because a copy of a large table takes as much memory again.
        weights = [(variable, tf.convert_to_tensor(variable.value)) for variable in self.model.variables]
        catalogue = [tf.convert_to_tensor(rows) for rows in self.catalogue]

        def call(endpoint: Endpoint, tensors: Tensors) -> Tensors:
            with keras.StatelessScope(state_mapping=weights):
                return self._call(endpoint, tensors, catalogue)

        return self._function(endpoint, call)

    def _function(
        self, endpoint: Endpoint, call: Callable[[Endpoint, Tensors], Tensors]
    ) -> tf.types.experimental.GenericFunction:
        names = [info.name for info in endpoint.inputs]

        def run(*tensors: Tensor) -> Tensors:
            return call(endpoint, dict(zip(names, tensors, strict=True)))

        return tf.function(run, input_signature=[info.index_spec for info in endpoint.inputs], autograph=False)

    def _call(self, endpoint: Endpoint, tensors: Tensors, catalogue: list[Tensor]) -> Tensors:
        answer = self._answer(endpoint, tensors, catalogue)
        for info in endpoint.inputs:
            if info.vocabulary:
                answer[f"{UNKNOWN_PREFIX}{info.name}"] = tf.cast(tf.equal(tensors[info.name], UNKNOWN), tf.int32)
        return answer

    def _answer(self, endpoint: Endpoint, tensors: Tensors, catalogue: list[Tensor]) -> Tensors:
        if endpoint.name == "embed_items":
            return {"vectors": tf.gather(catalogue[0], tensors["items"])}
        query = {name: self._standardised(name, tensors[name]) for name in self.model.query_names}
        if endpoint.name == "embed_query":
            return {"vectors": self.model.encode_query(query)}
        if endpoint.name == "score":
            return {"scores": self.model.score_items(query, tensors["items"], catalogue)}
        exclude, candidates = tensors["exclude"], tensors["candidates"]
        items, scores = self.model.rank(self.k, query, exclude, candidates, catalogue, self.offered)
        return {"items": items, "scores": scores}

    def _standardised(self, name: str, values: Tensor) -> Tensor:
        feature = self.model.schema[name]
        if feature.is_indexed:
            return values
        # What is not finite is not known: NaN, which a caller sends for that, and infinities. It counts as the mean.
        known = tf.where(tf.abs(values) <= tf.float32.max, values, feature.mean)
        return known if feature.kind == "text" else (known - feature.mean) / feature.std


def offered_items(num_items: int, withdrawn: Sequence[int]) -> np.ndarray:
    """Which items may be recommended.

    Args:
        num_items: How many item indices there are.
        withdrawn: The indices that are never recommended.

    Returns:
        `[num_items]` bool, false for the withdrawn ones.
    """
    offered = np.ones(num_items, bool)
    offered[np.asarray(withdrawn, np.int64)] = False
    return offered


def describe(model: Recommender, vocabularies: Mapping[str, Vocabulary], k: int) -> tuple[Endpoint, ...]:
    """The endpoints of a recommender: `recommend`, `score`, and for towers `embed_query` and `embed_items`."""
    nothing = vocabularies["item"].padding_value
    dtype = _dtype(vocabularies["item"].is_integer)
    item_ids = functools.partial(TensorInfo, dtype=dtype, vocabulary="item", padding=nothing)
    query = tuple(_input(model.schema[name], vocabularies) for name in model.query_names)
    endpoints = [_recommend(query, item_ids, nothing, k), _score(query, item_ids)]
    if isinstance(model, Towers):
        endpoints += _embedding_endpoints(model, query, item_ids)
    return tuple(endpoints)


def _recommend(
    query: tuple[TensorInfo, ...], item_ids: Callable[..., TensorInfo], nothing: str | int, k: int
) -> Endpoint:
    exclude = item_ids("exclude", shape=(None, None), about=f"Items never to return. Pad with {nothing!r}.")
    candidates = item_ids(
        "candidates",
        shape=(None, None),
        about=f"Items to choose from. Pad with {nothing!r}. A row of padding means the whole catalogue.",
    )
    items = item_ids(
        "items",
        shape=(None, k),
        about=f"The best items, best first; {nothing!r} where none is left. A smaller k is a slice.",
    )
    scores = TensorInfo("scores", "float32", (None, k), f"Their scores; {NO_ITEM_SCORE} where no item is left.")
    return _endpoint("recommend", (*query, exclude, candidates), items, scores)


def _score(query: tuple[TensorInfo, ...], item_ids: Callable[..., TensorInfo]) -> Endpoint:
    items = item_ids("items", shape=(None, None), about="Items to score for each query.")
    scores = TensorInfo("scores", "float32", (None, None), "The score of each item.")
    return _endpoint("score", (*query, items), scores)


def _embedding_endpoints(
    model: Towers, query: tuple[TensorInfo, ...], item_ids: Callable[..., TensorInfo]
) -> list[Endpoint]:
    mean, std = model.rating_scale
    scaled = f", times {std:g} plus {mean:g}," if model.scores_are_ratings else ""
    about = f"Its vector. The dot product of the vectors of a query and of an item{scaled} is the score."
    items = item_ids("items", shape=(None,), about="Items to embed.")
    vectors = TensorInfo("vectors", "float32", (None, model.dim), about)
    return [_endpoint("embed_query", query, vectors), _endpoint("embed_items", (items,), vectors)]


def _endpoint(name: str, inputs: tuple[TensorInfo, ...], *outputs: TensorInfo) -> Endpoint:
    """An endpoint that also says which raw values of its inputs were unknown."""
    unknown = (
        TensorInfo(
            f"{UNKNOWN_PREFIX}{info.name}",
            "int32",
            info.shape,
            f"1 where a value of `{info.name}` is unknown, else 0. Padding is not unknown.",
        )
        for info in inputs
        if info.vocabulary
    )
    return Endpoint(name, inputs, (*outputs, *unknown))


def _input(feature: Feature, vocabularies: Mapping[str, Vocabulary]) -> TensorInfo:
    vocabulary = vocabulary_of(feature) if feature.is_indexed else None
    return TensorInfo(
        name=feature.name,
        dtype=_dtype(vocabularies[vocabulary].is_integer) if vocabulary else "float32",
        shape=(None, *feature.shape),
        about=_about(feature),
        vocabulary=vocabulary,
        padding=vocabularies[vocabulary].padding_value if vocabulary else 0.0,
    )


def vocabulary_of(feature: Feature) -> str:
    """The vocabulary that a feature's raw values are looked up in."""
    return "item" if feature.name == "history" else feature.name


def _dtype(is_integer: bool) -> str:
    return "int64" if is_integer else "string"


# What the features mean that every dataset has.
ABOUT_COMMON = {
    "user": "The user. An unknown one is legal.",
    "history": "The last {length} items seen, most recent last, padded in front.",
    "history_rating": "The ratings of these items, 0 for padding (1 for every item where there are no ratings).",
    "history_age": "Seconds since each of these items was seen, 0 for padding.",
}
# What other features mean, by kind. Features of other kinds are categories.
ABOUT_KIND = {
    "numeric": "A {role} feature as in the data. NaN means not known, and so does an infinite number.",
    "text": "A {role} text as the vector that the run's text encoder gives. Zeros mean that there is none.",
}
ABOUT_LIST = "A {role} feature of up to {length} values, padded behind."
ABOUT_CATEGORY = "A {role} feature as in the data. An unknown value is legal."


def _about(feature: Feature) -> str:
    of_values = ABOUT_CATEGORY if feature.length is None else ABOUT_LIST
    about = ABOUT_COMMON.get(feature.name) or ABOUT_KIND.get(feature.kind, of_values)
    return about.format(role=feature.role, length=feature.length)


@contextlib.contextmanager
def unrolled(model: keras.Model) -> Iterator[None]:
    """Recurrent layers are traced step by step while this lasts, instead of as a loop over a tensor list."""
    layers = [layer for layer in flatten_layers(model) if _is_loop(layer)]
    _set_unroll(layers, True)
    try:
        yield
    finally:
        _set_unroll(layers, False)


def _is_loop(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.RNN) and not layer.unroll


def _set_unroll(layers: Sequence[keras.layers.RNN], is_unrolled: bool) -> None:
    for layer in layers:
        layer.unroll = is_unrolled
