"""Proof that every artefact of a bundle answers as the trained model does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.endpoints import Endpoint, EndpointGraphs
from export.runtimes import RUNTIMES, Values
from zoo.arrays import load_arrays, save_arrays
from zoo.data.dataset import PARTS, Dataset
from zoo.errors import ZooError
from zoo.recommender import NO_ITEM_SCORE, Recommender
from zoo.schema import FIRST_KNOWN, Feature, Vocabulary

REFERENCE = "reference.npz"
# Scores agree within this, or within this share of scores above 1 in size.
TOLERANCE = 1e-5
BATCH_SIZES = (1, 7, 64)
RANDOM_QUERIES = 200
LEAST_LEFT = 3


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison of an artefact with the trained model.

    Args:
        format: The format of the artefact.
        endpoint: The endpoint.
        batch_size: Queries a call.
        queries: Queries compared.
        largest_difference: The largest difference of a score; of scores above 1 in size, as a share of them.
        rank_differences: Places of a ranking that differ although the model's scores are not tied there.
        passed: Whether scores agree within the tolerance and no place differs.
    """

    format: str
    endpoint: str
    batch_size: int
    queries: int
    largest_difference: float
    rank_differences: int
    passed: bool

    def __str__(self) -> str:
        places = f", {self.rank_differences} places differ" if self.rank_differences else ""
        return (
            f"{self.format} {self.endpoint}, batch {self.batch_size}, {self.queries} queries: "
            f"largest difference {self.largest_difference:.1e}{places}"
        )


def write_reference(model: Recommender, dataset: Dataset, graphs: EndpointGraphs, folder: Path) -> None:
    """Asks the trained model many queries and stores its answers, in raw values, as `reference.npz`.

    The queries: an unknown user, an empty history, a full-length history, everything excluded but some
    items, candidates, unknown items among the excluded, unknown and missing features, and
    `RANDOM_QUERIES` more drawn from users of the data and at random.
    """
    arrays: dict[str, np.ndarray] = {}
    for endpoint in graphs.endpoints:
        inputs = make_queries(dataset, model, endpoint)
        answers = [model_answer(model, dataset, graphs.k, endpoint, batch) for batch in _batches(inputs, 64)]
        for name, value in inputs.items():
            arrays[f"{endpoint.name}/inputs/{name}"] = _storable(value)
        for name in answers[0]:
            arrays[f"{endpoint.name}/outputs/{name}"] = _storable(np.concatenate([a[name] for a in answers]))
    save_arrays(folder / REFERENCE, arrays)


def model_answer(model: Recommender, dataset: Dataset, k: int, endpoint: Endpoint, inputs: Values) -> Values:
    """What the trained model itself says to raw inputs, by the methods of `Recommender`."""
    tensors = {info.name: _encoded(info.name, inputs[info.name], dataset, info.vocabulary) for info in endpoint.inputs}
    query = {name: tensors[name] for name in model.query_names}
    if endpoint.name == "score":
        return {"scores": model.score(query, tensors["items"])}
    items, scores = model.recommend(query, k, tensors["exclude"], tensors["candidates"])
    return {"items": dataset.vocabularies["item"].lookup(items), "scores": scores}


def verify_artefacts(
    folder: Path,
    endpoints: tuple[Endpoint, ...],
    formats: tuple[str, ...],
    report: Callable[[Check], None] = lambda check: None,
) -> list[Check]:
    """Asks every artefact the stored queries, at several batch sizes, and compares with the stored answers.

    Args:
        folder: The bundle.
        endpoints: Its endpoints.
        formats: Its formats.
        report: Called with each check as it is done.

    Returns:
        All checks.
    """
    reference = _load_reference(folder)
    checks = []
    for name in formats:
        runtime = RUNTIMES[name](folder / name, endpoints)
        for endpoint in endpoints:
            inputs, expected = reference[endpoint.name]
            for size in BATCH_SIZES:
                answers = [runtime.run(endpoint.name, batch) for batch in _batches(inputs, size)]
                answer = {out.name: np.concatenate([a[out.name] for a in answers]) for out in endpoint.outputs}
                checks.append(compare(name, endpoint, size, answer, expected, inputs.get("exclude")))
                report(checks[-1])
    return checks


def compare(
    format_name: str,
    endpoint: Endpoint,
    batch_size: int,
    answer: Values,
    expected: Values,
    exclude: np.ndarray | None = None,
) -> Check:
    """Compares the answers of an artefact with those of the trained model.

    A place of a ranking may hold another item only where the model's own scores are tied within the
    tolerance: then the item must stand elsewhere in the model's ranking with a tied score, or the tie
    must reach the last place, beyond which the model's ranking is not stored. It must not be excluded.
    """
    scores, wanted = answer["scores"], expected["scores"]
    if scores.shape != wanted.shape:
        raise ZooError(f"{format_name} {endpoint.name}: gave shape {scores.shape}, expected {wanted.shape}.")
    largest = float(_difference(scores, wanted).max(initial=0.0))
    places = _untied_places(answer["items"], expected["items"], wanted, exclude) if "items" in expected else 0
    passed = largest <= TOLERANCE and places == 0
    return Check(format_name, endpoint.name, batch_size, len(wanted), largest, places, passed)


def _difference(scores: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How far scores are apart; of scores above 1 in size, as a share of them."""
    scores, wanted = scores.astype(np.float64), wanted.astype(np.float64)
    shares = np.abs(scores - wanted) / np.maximum(1.0, np.abs(wanted))
    shares = np.where((scores == NO_ITEM_SCORE) == (wanted == NO_ITEM_SCORE), shares, np.inf)
    return np.nan_to_num(shares, nan=np.inf)


def _untied_places(items: np.ndarray, expected: np.ndarray, scores: np.ndarray, exclude: np.ndarray | None) -> int:
    wrong = 0
    for row, place in zip(*np.nonzero(items != expected), strict=True):
        item, score = items[row, place], scores[row, place]
        elsewhere = np.flatnonzero(expected[row] == item)
        tied_with = scores[row, elsewhere[0] if len(elsewhere) else -1]
        untied = _difference(tied_with, score) > TOLERANCE
        repeated = np.count_nonzero(items[row] == item) > 1
        excluded = exclude is not None and item in exclude[row]
        wrong += int(untied or repeated or excluded or score == NO_ITEM_SCORE)
    return wrong


def make_queries(dataset: Dataset, model: Recommender, endpoint: Endpoint) -> Values:
    """The queries of a verification: raw values for every input of an endpoint."""
    rng = np.random.default_rng(0)
    users = dataset.interactions["user"].unique()
    drawn = rng.choice(users, RANDOM_QUERIES)
    parts = [_drawn_queries(dataset, model, drawn, rng), _edge_queries(dataset, model, int(drawn[0]), rng)]
    query = {name: np.concatenate([part[name] for part in parts]) for name in model.query_names}
    raw = {
        info.name: _raw(query[info.name], dataset.schema[info.name], dataset, info.vocabulary)
        for info in endpoint.inputs
        if info.name in query
    }
    number = len(next(iter(raw.values())))
    if endpoint.name == "score":
        items = rng.integers(1, model.num_items, (number, 8)).astype(np.int32)
        items[-1] = 1
        return {**raw, "items": _raw_items(items, dataset)}
    exclude, candidates = _excluded_and_candidates(dataset, model, number, rng)
    return {**raw, "exclude": exclude, "candidates": candidates}


def _drawn_queries(dataset: Dataset, model: Recommender, users: np.ndarray, rng: np.random.Generator) -> Values:
    """Users as they are in the data, every other one with a history and features drawn at random."""
    query = dataset.queries(model.query_names, users, *PARTS)
    for name, values in query.items():
        random = _random(dataset.schema[name], len(users), rng)
        query[name] = np.where(_column(np.arange(len(users)) % 2 == 0, values), values, random).astype(values.dtype)
    return query


def _edge_queries(dataset: Dataset, model: Recommender, user: int, rng: np.random.Generator) -> Values:
    """An unknown user; an empty history; a full-length one; features unknown or far from the usual."""
    query = dataset.queries(model.query_names, np.array([1, user, user, user, user]), *PARTS)
    for name, values in query.items():
        feature = dataset.schema[name]
        if feature.role == "history":
            values[1] = 0
            values[2] = _random(dataset.schema[name], 1, rng, full=True)[0]
        elif feature.name != "user":
            values[3] = np.nan if feature.kind == "numeric" else 1 if feature.is_indexed else 0
            values[4] = 10.0 if not feature.is_indexed else feature.size - 1
    return query


def _random(feature: Feature, number: int, rng: np.random.Generator, full: bool = False) -> np.ndarray:
    shape = (number, *feature.shape)
    if not feature.is_indexed:
        values = rng.normal(size=shape) if feature.role != "history" else rng.uniform(0.2, 1.0, shape)
        return values.astype(np.float32)
    indices = rng.integers(1, feature.size, shape)
    if feature.length is not None and not full:
        lengths = rng.integers(0, feature.length + 1, (number, 1))
        places = np.arange(feature.length)
        there = places >= feature.length - lengths if feature.role == "history" else places < lengths
        indices = np.where(there, indices, 0)
    return indices.astype(np.int32)


def _excluded_and_candidates(
    dataset: Dataset, model: Recommender, number: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    known = np.arange(FIRST_KNOWN, model.num_items, dtype=np.int32)
    width = max(len(known) - LEAST_LEFT, 1)
    exclude = np.zeros((number, width), np.int32)
    few = min(20, width)
    exclude[:, :few] = rng.integers(0, model.num_items, (number, few))
    # Everything is excluded but a few items, fewer than k where k is larger.
    exclude[0, : len(known) - LEAST_LEFT] = rng.permutation(known)[LEAST_LEFT:]
    exclude[1] = 0
    exclude[2, :few] = 1
    candidates = np.zeros((number, 12), np.int32)
    candidates[::5] = rng.integers(0, model.num_items, (len(candidates[::5]), 12))
    candidates[0] = 0
    return _raw_items(exclude, dataset), _raw_items(candidates, dataset)


def _raw(values: np.ndarray, feature: Feature, dataset: Dataset, vocabulary: str | None) -> np.ndarray:
    if vocabulary:
        return _raw_indices(values, dataset.vocabularies[vocabulary])
    return (values * feature.std + feature.mean).astype(np.float32) if feature.kind == "numeric" else values


def _raw_items(indices: np.ndarray, dataset: Dataset) -> np.ndarray:
    return _raw_indices(indices, dataset.vocabularies["item"])


def _raw_indices(indices: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Raw values in which the index of unknown becomes a value that is not in the vocabulary."""
    stranger: Any = int(vocabulary.values.max()) + 1 if vocabulary.is_integer else max(vocabulary.values) + "?"
    return np.where(np.asarray(indices) == 1, stranger, vocabulary.lookup(indices))


def _encoded(name: str, values: np.ndarray, dataset: Dataset, vocabulary: str | None) -> np.ndarray:
    if vocabulary:
        return dataset.vocabularies[vocabulary].index(values.ravel()).reshape(values.shape)
    feature = dataset.schema[name]
    if feature.kind == "text":
        return values
    return np.nan_to_num((values - feature.mean) / feature.std, nan=0.0).astype(np.float32)


def _column(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, *[1] * (values.ndim - 1))


def _batches(inputs: Mapping[str, np.ndarray], size: int) -> Iterator[Values]:
    number = len(next(iter(inputs.values())))
    for start in range(0, number, size):
        yield {name: values[start : start + size] for name, values in inputs.items()}


def _storable(values: np.ndarray) -> np.ndarray:
    # Raw strings are objects in memory; as such they could only be stored as pickles.
    return values.astype(str) if values.dtype == object else values


def _load_reference(folder: Path) -> dict[str, tuple[Values, Values]]:
    reference: dict[str, tuple[Values, Values]] = {}
    for key, values in load_arrays(folder / REFERENCE).items():
        endpoint, part, name = key.split("/")
        pair = reference.setdefault(endpoint, ({}, {}))
        pair[part == "outputs"][name] = values.astype(object) if values.dtype.kind == "U" else values
    return reference
