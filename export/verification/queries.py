"""The queries that artefacts are asked: of real users, at random over the schema, and at its edges; in raw values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from export.endpoints import Endpoint, vocabulary_of
from export.values import Values
from zoo.data.dataset import PARTS, Dataset
from zoo.errors import UserError
from zoo.evaluation.ranking import KNOWN_BEFORE, items_to_find
from zoo.families import Recommender
from zoo.schema import FIRST_KNOWN, PADDING, UNKNOWN, Feature, Vocabulary

# Real users whose queries a bundle carries.
SAMPLE_USERS = 1000
# A usual request excludes so many of the items that a user has seen last.
LATEST_SEEN = 20
RANDOM_QUERIES = 500
# Queries of real users among those of a verification.
REAL_QUERIES = 100
# Items that are left when everything else is excluded; fewer than most ask for.
LEAST_LEFT = 3
# Rows in which everything else is excluded, up to so many items; the lists are long, so the rows are few.
ALMOST_ALL_EXCLUDED = 4
MOST_EXCLUDED = 20_000


def sample_queries(model: Recommender, dataset: Dataset) -> Values:
    """Queries of real users as a server will see them.

    Args:
        model: The recommender.
        dataset: The data it was trained on.

    Returns:
        Raw values of up to `SAMPLE_USERS` users: the query inputs; `exclude`, what the user has seen; and
        `relevant`, what the test part says should be found, of width 0 if the data has no such part.
    """
    rng = np.random.default_rng(0)
    try:
        users, rows, items = items_to_find(dataset, "test")
    except UserError:
        users, rows, items = np.flatnonzero(dataset.sequences(*PARTS).counts), np.empty(0, int), np.empty(0, int)
    chosen = np.sort(rng.permutation(len(users))[:SAMPLE_USERS])
    before = KNOWN_BEFORE["test"] if len(rows) else PARTS
    query = dataset.queries(model.query_names, users[chosen], *before, context="test")
    seen, _ = dataset.sequences(*before).padded(users[chosen])
    relevant = [items[rows == place] for place in chosen] if len(rows) else []
    width = max((len(found) for found in relevant), default=0)
    padded = np.zeros((len(chosen), width), np.int32)
    for row, found in enumerate(relevant):
        padded[row, : len(found)] = found
    item = dataset.vocabularies["item"]
    raw = {name: raw_values(dataset.schema[name], values, dataset.vocabularies) for name, values in query.items()}
    return {**raw, "exclude": item.lookup(seen), "relevant": item.lookup(padded)}


def verification_queries(
    model: Recommender, vocabularies: Mapping[str, Vocabulary], endpoint: Endpoint, sample: Values
) -> list[Values]:
    """The queries by which an endpoint is verified, in groups of lists of like length.

    `RANDOM_QUERIES` random ones; some of real users; and the edges of the schema: an unknown user, an empty
    history, a full one, one item again and again, features that are unknown, missing or far from the usual.
    For `recommend`, items to exclude and candidates are random, and so are which rows have any; in the second
    group everything is excluded but `LEAST_LEFT` items.

    Args:
        model: The recommender.
        vocabularies: Its vocabularies.
        endpoint: The endpoint.
        sample: What `sample_queries` gave.

    Returns:
        Raw inputs of the endpoint by name, a group each.
    """
    rng = np.random.default_rng(0)
    item = vocabularies["item"]
    if endpoint.name == "embed_items":
        everything = np.arange(UNKNOWN, item.size) if item.size <= RANDOM_QUERIES else None
        items = rng.integers(0, item.size, RANDOM_QUERIES) if everything is None else everything
        return [{"items": _with_strangers(items.astype(np.int32), item)}]
    features = [model.schema[name] for name in model.query_names]
    # The edges come first, because they are asked at every batch size.
    parts = [_edge_queries(features, rng), _random_query(features, RANDOM_QUERIES, rng)]
    raw = [{f.name: raw_values(f, part[f.name], vocabularies) for f in features} for part in parts]
    raw.append({f.name: sample[f.name][:REAL_QUERIES] for f in features})
    query = {f.name: np.concatenate([part[f.name] for part in raw]) for f in features}
    number = len(next(iter(query.values())))
    if endpoint.name == "embed_query":
        return [query]
    if endpoint.name == "score":
        items = rng.integers(0, item.size, (number, 8)).astype(np.int32)
        items[0] = UNKNOWN
        return [{**query, "items": _with_strangers(items, item)}]
    exclude = rng.integers(0, item.size, (number, 20)).astype(np.int32)
    exclude[::3] = PADDING
    exclude[1::3, 10:] = PADDING
    candidates = rng.integers(0, item.size, (number, 12)).astype(np.int32)
    candidates[np.arange(number) % 5 > 0] = PADDING
    group = {**query, "exclude": _with_strangers(exclude, item), "candidates": _with_strangers(candidates, item)}
    few = {name: values[-ALMOST_ALL_EXCLUDED:] for name, values in query.items()}
    known = np.arange(FIRST_KNOWN, item.size, dtype=np.int32)
    orders = [rng.permutation(known) for _ in range(ALMOST_ALL_EXCLUDED)]
    almost_all = np.stack([order[LEAST_LEFT:][:MOST_EXCLUDED] for order in orders])
    nothing = np.zeros((ALMOST_ALL_EXCLUDED, 1), np.int32)
    return [group, {**few, "exclude": item.lookup(almost_all), "candidates": item.lookup(nothing)}]


def sample_requests(endpoint: Endpoint, item: Vocabulary, sample: Values, number: int = REAL_QUERIES) -> Values:
    """What real users' requests to an endpoint look like.

    Args:
        endpoint: The endpoint.
        item: The vocabulary of items.
        sample: What `sample_queries` gave.
        number: At most so many.

    Returns:
        Raw inputs of the endpoint. `recommend` excludes the last items that a user has seen, and `score` and
        `embed_items` get some items of the catalogue.
    """
    rng = np.random.default_rng(0)
    rows = min(number, len(sample["exclude"]))
    shape = (rows,) if endpoint.name == "embed_items" else (rows, 8)
    inputs = {info.name: sample[info.name][:rows] for info in endpoint.inputs if info.name in sample}
    if "exclude" in inputs:
        inputs["exclude"] = inputs["exclude"][:, -LATEST_SEEN:]
        inputs["candidates"] = item.lookup(np.zeros((rows, 1), np.int32))
    if any(info.name == "items" for info in endpoint.inputs):
        inputs["items"] = item.lookup(rng.integers(FIRST_KNOWN, item.size, shape))
    return {info.name: inputs[info.name] for info in endpoint.inputs}


def raw_values(feature: Feature, values: np.ndarray, vocabularies: Mapping[str, Vocabulary]) -> np.ndarray:
    """Encoded values of a query feature as a caller would send them."""
    if feature.is_indexed:
        return _with_strangers(values, vocabularies[vocabulary_of(feature)])
    return (values * feature.std + feature.mean).astype(np.float32) if feature.kind == "numeric" else values


def _with_strangers(indices: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Raw values in which the index of unknown becomes a value that is not in the vocabulary."""
    raw = vocabulary.lookup(indices)
    raw[np.asarray(indices) == UNKNOWN] = _stranger(vocabulary)
    return raw


def _stranger(vocabulary: Vocabulary) -> int | str:
    if not vocabulary.is_integer:
        return max(vocabulary.values) + "?"
    largest = int(vocabulary.values.max())
    # The values above the largest, if 64 bits have any, else the first that is free.
    return largest + 1 if largest < 2**63 - 1 else next(n for n in range(2**62) if n not in vocabulary)


def _random_query(features: list[Feature], number: int, rng: np.random.Generator) -> Values:
    return {feature.name: _random(feature, number, rng) for feature in features}


def _random(feature: Feature, number: int, rng: np.random.Generator, full: bool = False) -> np.ndarray:
    shape = (number, *feature.shape)
    if not feature.is_indexed:
        # Ratings are shares of the largest one, counted from the threshold of what is liked, if there is one.
        lowest = -feature.mean / feature.std
        values = rng.normal(size=shape) if feature.role != "history" else lowest + rng.uniform(0.2, 1.0, shape)
        return values.astype(np.float32)
    indices = rng.integers(1, feature.size, shape)
    if feature.length is not None and not full:
        lengths = rng.integers(0, feature.length + 1, (number, 1))
        places = np.arange(feature.length)
        there = places >= feature.length - lengths if feature.role == "history" else places < lengths
        indices = np.where(there, indices, PADDING)
    return indices.astype(np.int32)


def _edge_queries(features: list[Feature], rng: np.random.Generator) -> Values:
    """An unknown user; an empty history; a full one; one item all over; features unknown; features far off."""
    query = _random_query(features, 6, rng)
    for feature in features:
        values = query[feature.name]
        if feature.name == "user":
            values[0] = UNKNOWN
        elif feature.role == "history":
            values[1] = 0
            values[2] = _random(feature, 1, rng, full=True)[0]
            values[3] = FIRST_KNOWN if feature.is_indexed else 1.0 - feature.mean / feature.std
        else:
            values[4] = np.nan if feature.kind == "numeric" else UNKNOWN if feature.is_indexed else 0
            values[5] = 10.0 if not feature.is_indexed else feature.size - 1
    return query
