"""The trained model as what artefacts are compared with, and its answers as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from export.endpoints import UNKNOWN_PREFIX, describe, offered_items
from export.formats.base import Runtime, ask
from export.values import Values, encoded_ids, encoded_numbers, storable, stored
from zoo.arrays import load_arrays, save_arrays
from zoo.families import Recommender, Towers
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.files import parsing
from zoo.schema import PADDING, UNKNOWN, Feature, Vocabulary

REFERENCE = "reference.npz"
SAMPLE = "sample.npz"
# The most queries of a call.
LARGEST_BATCH = 64

# Inputs and the trained model's answers, in groups of lists of like length, by endpoint.
Reference = Mapping[str, list[tuple[Values, Values]]]


class KerasRuntime:
    """The trained model itself, which every artefact is compared with.

    Items are masked and ranked one after the other in the plainest way, so that nothing is shared with the
    exported ranking, and items are encoded by their tower, not looked up in a stored matrix.

    Args:
        model: The recommender.
        vocabularies: Its vocabularies.
        k: How many items `recommend` gives.
        withdrawn: Item indices that are never recommended.
    """

    def __init__(
        self, model: Recommender, vocabularies: Mapping[str, Vocabulary], k: int, withdrawn: Sequence[int] = ()
    ) -> None:
        self._model, self._vocabularies, self._k = model, vocabularies, k
        self._endpoints = {endpoint.name: endpoint for endpoint in describe(model, vocabularies, k)}
        self._offered = offered_items(model.num_items, [PADDING, UNKNOWN, *withdrawn])
        self._catalogue = model.encode_catalogue()

    def run(self, endpoint: str, inputs: Values) -> Values:
        """The outputs of an endpoint by name."""
        infos = self._endpoints[endpoint].inputs
        vocabularies = {info.name: self._vocabularies[info.vocabulary] for info in infos if info.vocabulary}
        indices = {name: encoded_ids(inputs[name], vocabulary) for name, vocabulary in vocabularies.items()}
        answer = self._answer(endpoint, inputs, indices)
        unknown = {f"{UNKNOWN_PREFIX}{name}": (index == UNKNOWN).astype(np.int32) for name, index in indices.items()}
        return {**answer, **unknown}

    def _answer(self, endpoint: str, inputs: Values, indices: Values) -> Values:
        if endpoint == "embed_items":
            return {"vectors": np.asarray(_towers(self._model).encode_items(indices["items"]))}
        query = {name: self._encoded(self._model.schema[name], inputs, indices) for name in self._model.query_names}
        if endpoint == "embed_query":
            return {"vectors": np.asarray(_towers(self._model).encode_query(query))}
        if endpoint == "score":
            return {"scores": self._model.score(query, indices["items"])}
        return self._recommend(query, indices["exclude"], indices["candidates"])

    @staticmethod
    def _encoded(feature: Feature, inputs: Values, indices: Values) -> np.ndarray:
        return indices[feature.name] if feature.is_indexed else encoded_numbers(feature, inputs[feature.name])

    def _recommend(self, query: Values, exclude: np.ndarray, candidates: np.ndarray) -> Values:
        import tensorflow as tf

        scores = np.array(self._model.score_catalogue(query, self._catalogue))
        for row, (left_out, chosen) in enumerate(zip(exclude, candidates, strict=True)):
            allowed = self._offered.copy()
            if chosen.any():
                allowed &= np.isin(np.arange(len(allowed)), chosen)
            allowed[left_out] = False
            scores[row, ~allowed] = NO_ITEM_SCORE
        best, items = (values.numpy() for values in tf.math.top_k(scores, self._k))
        items = np.where(best > NO_ITEM_SCORE, items, PADDING)
        return {"items": self._vocabularies["item"].lookup(items), "scores": best}


def _towers(model: Recommender) -> Towers:
    """The model, whose endpoints only towers have."""
    assert isinstance(model, Towers)
    return model


def write_reference(model: Runtime, queries: Mapping[str, list[Values]], folder: Path) -> None:
    """Asks the trained model and stores queries and answers, in raw values, as `reference.npz`.

    Args:
        model: The trained model.
        queries: For each endpoint the groups of queries that `verification_queries` made.
        folder: Where the file goes.
    """
    arrays: dict[str, np.ndarray] = {}
    for endpoint, groups in queries.items():
        for number, inputs in enumerate(groups):
            answer = ask(model, endpoint, inputs, LARGEST_BATCH)
            arrays |= {f"{endpoint}/{number}/inputs/{name}": storable(value) for name, value in inputs.items()}
            arrays |= {f"{endpoint}/{number}/outputs/{name}": storable(value) for name, value in answer.items()}
    save_arrays(folder / REFERENCE, arrays)


def load_reference(folder: Path) -> Reference:
    """What `write_reference` stored."""
    reference: dict[str, dict[str, tuple[Values, Values]]] = {}
    with parsing(folder / REFERENCE, "queries and answers"):
        for key, values in load_arrays(folder / REFERENCE).items():
            endpoint, group, part, name = key.split("/")
            pair = reference.setdefault(endpoint, {}).setdefault(group, ({}, {}))
            pair[part == "outputs"][name] = stored(values)
    return {endpoint: list(groups.values()) for endpoint, groups in reference.items()}


def save_sample(sample: Values, folder: Path) -> None:
    """Stores the queries of real users as `sample.npz`."""
    save_arrays(folder / SAMPLE, {name: storable(values) for name, values in sample.items()})


def load_sample(folder: Path) -> Values:
    """What `save_sample` stored."""
    with parsing(folder / SAMPLE, "queries of users"):
        return {name: stored(values) for name, values in load_arrays(folder / SAMPLE).items()}
