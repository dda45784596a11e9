"""The queries that artefacts are asked, in raw values: of real users, at random over the schema, and at its edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from export.endpoints import Endpoint, vocabulary_of
from export.values import Values
from zoo.data.dataset import PARTS, Dataset, Part
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
# Items that are left when everything else is excluded. Most requests ask for more.
LEAST_LEFT = 3
# Rows in which everything else is excluded, up to so many items. They are few, because the lists are long.
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
    users, relevant, before = _held_out(dataset)
    chosen = np.sort(np.random.default_rng(0).permutation(len(users))[:SAMPLE_USERS])
    query = dataset.queries(model.query_names, users[chosen], *before, context="test")
    seen, _ = dataset.sequences(*before).padded(users[chosen])
    item = dataset.vocabularies["item"]
    raw = {name: raw_values(dataset.schema[name], values, dataset.vocabularies) for name, values in query.items()}
    return {**raw, "exclude": item.lookup(seen), "relevant": item.lookup(_padded([relevant[at] for at in chosen]))}


def _held_out(dataset: Dataset) -> tuple[np.ndarray, list[np.ndarray], Sequence[Part]]:
    """Users, the items that each should find in the test part, and the parts that a server has seen by then.

    Where the data has no test part, these are all users, and nothing is to be found.
    """
    try:
        users, rows, items = items_to_find(dataset, "test")
    except UserError:
        users, rows, items = np.flatnonzero(dataset.sequences(*PARTS).counts), np.empty(0, int), np.empty(0, int)
    relevant = np.split(items, np.searchsorted(rows, np.arange(1, len(users))))
    return users, relevant, KNOWN_BEFORE["test"] if len(rows) else PARTS


def _padded(lists: Sequence[np.ndarray]) -> np.ndarray:
    """Indices `[rows, length of the longest list]`, padded at the end."""
    padded = np.zeros((len(lists), max(map(len, lists), default=0)), np.int32)
    for row, values in enumerate(lists):
        padded[row, : len(values)] = values
    return padded


def verification_queries(
    model: Recommender, vocabularies: Mapping[str, Vocabulary], endpoint: Endpoint, sample: Values
) -> list[Values]:
    """The queries by which an endpoint is verified, in groups of lists of like length.

    There are `RANDOM_QUERIES` random ones, some of real users, and the edges of the schema: an unknown user, an empty
    history, a full one, one item again and again, features that are unknown, missing or far from the usual.
    For `recommend`, items to exclude and candidates are random, and so are which rows have any. In the second
    group everything is excluded except `LEAST_LEFT` items.

    Args:
        model: The recommender.
        vocabularies: Its vocabularies.
        endpoint: The endpoint.
        sample: What `sample_queries` gave.

    Returns:
        Raw inputs of the endpoint by name, a group each.
    """
    rng, item = np.random.default_rng(0), vocabularies["item"]
    if endpoint.name == "embed_items":
        return [{"items": _with_strangers(_some_items(item, rng), item)}]
    query = _queries([model.schema[name] for name in model.query_names], vocabularies, sample, rng)
    if endpoint.name == "embed_query":
        return [query]
    if endpoint.name == "score":
        items = rng.integers(0, item.size, (_rows(query), 8)).astype(np.int32)
        items[0] = UNKNOWN
        return [{**query, "items": _with_strangers(items, item)}]
    return [_with_lists(query, item, rng), _with_almost_all_excluded(query, item, rng)]


def _some_items(item: Vocabulary, rng: np.random.Generator) -> np.ndarray:
    """Indices of all items of a small vocabulary, or of some, the unknown item among them."""
    if item.size <= RANDOM_QUERIES:
        return np.arange(UNKNOWN, item.size, dtype=np.int32)
    return rng.integers(0, item.size, RANDOM_QUERIES).astype(np.int32)


def _queries(
    features: list[Feature], vocabularies: Mapping[str, Vocabulary], sample: Values, rng: np.random.Generator
) -> Values:
    """Raw queries: the edges of the schema first, because they are asked at every batch size."""
    made = [_edge_queries(features, rng), _random_query(features, RANDOM_QUERIES, rng)]
    return {
        feature.name: np.concatenate(
            [
                *(raw_values(feature, query[feature.name], vocabularies) for query in made),
                sample[feature.name][:REAL_QUERIES],
            ]
        )
        for feature in features
    }


def _with_lists(query: Values, item: Vocabulary, rng: np.random.Generator) -> Values:
    """The queries with items to exclude and candidates: none, few or many in a row."""
    rows = _rows(query)
    exclude = rng.integers(0, item.size, (rows, 20)).astype(np.int32)
    exclude[::3] = PADDING
    exclude[1::3, 10:] = PADDING
    candidates = rng.integers(0, item.size, (rows, 12)).astype(np.int32)
    candidates[np.arange(rows) % 5 > 0] = PADDING
    return {**query, "exclude": _with_strangers(exclude, item), "candidates": _with_strangers(candidates, item)}


def _with_almost_all_excluded(query: Values, item: Vocabulary, rng: np.random.Generator) -> Values:
    """The last queries, in which everything is excluded except `LEAST_LEFT` items, up to `MOST_EXCLUDED`."""
    few = {name: values[-ALMOST_ALL_EXCLUDED:] for name, values in query.items()}
    known = np.arange(FIRST_KNOWN, item.size, dtype=np.int32)
    orders = [rng.permutation(known) for _ in range(ALMOST_ALL_EXCLUDED)]
    excluded = np.stack([order[LEAST_LEFT:][:MOST_EXCLUDED] for order in orders])
    nothing = np.zeros((ALMOST_ALL_EXCLUDED, 1), np.int32)
    return {**few, "exclude": item.lookup(excluded), "candidates": item.lookup(nothing)}


def _rows(query: Values) -> int:
    return len(next(iter(query.values())))


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
    rows = min(number, len(sample["exclude"]))
    shape = (rows,) if endpoint.name == "embed_items" else (rows, 8)
    known = {
        **{name: values[:rows] for name, values in sample.items()},
        "exclude": sample["exclude"][:rows, -LATEST_SEEN:],
        "candidates": item.lookup(np.zeros((rows, 1), np.int32)),
        "items": item.lookup(np.random.default_rng(0).integers(FIRST_KNOWN, item.size, shape)),
    }
    return {info.name: known[info.name] for info in endpoint.inputs}


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
    # The value above the largest one, if 64 bits have it. Otherwise the first that is free.
    return largest + 1 if largest < 2**63 - 1 else next(n for n in range(2**62) if n not in vocabulary)


def _random_query(features: list[Feature], number: int, rng: np.random.Generator) -> Values:
    return {feature.name: _random(feature, number, rng) for feature in features}


def _random(feature: Feature, number: int, rng: np.random.Generator, full: bool = False) -> np.ndarray:
    if feature.is_indexed:
        return _random_indices(feature, number, rng, full)
    shape = (number, *feature.shape)
    # Ratings are shares of the largest one, counted from the threshold of what is liked, if there is one.
    lowest = -feature.mean / feature.std
    values = rng.normal(size=shape) if feature.role != "history" else lowest + rng.uniform(0.2, 1.0, shape)
    return values.astype(np.float32)


def _random_indices(feature: Feature, number: int, rng: np.random.Generator, full: bool) -> np.ndarray:
    indices = rng.integers(1, feature.size, (number, *feature.shape))
    if feature.length is not None and not full:
        lengths = rng.integers(0, feature.length + 1, (number, 1))
        places = np.arange(feature.length)
        there = places >= feature.length - lengths if feature.role == "history" else places < lengths
        indices = np.where(there, indices, PADDING)
    return indices.astype(np.int32)


def _edge_queries(features: list[Feature], rng: np.random.Generator) -> Values:
    """An unknown user, an empty history, a full one, one item all over, and unknown, far off and infinite features."""
    query = _random_query(features, 7, rng)
    for feature in features:
        values = query[feature.name]
        if feature.name == "user":
            values[0] = UNKNOWN
        elif feature.role == "history":
            values[1] = 0
            values[2] = _random(feature, 1, rng, full=True)[0]
            values[3] = FIRST_KNOWN if feature.is_indexed else 1.0 - feature.mean / feature.std
        else:
            values[4] = _missing(feature)
            values[5] = feature.size - 1 if feature.is_indexed else 10.0
        if not feature.is_indexed:
            values[6] = np.inf
    return query


def _missing(feature: Feature) -> float:
    """What stands for a value that is not there or not known."""
    if feature.is_indexed:
        return UNKNOWN
    return np.nan if feature.kind == "numeric" else 0
