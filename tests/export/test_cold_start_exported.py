"""Users and items that training never saw, known only by their features, in every format of a bundle."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from export.bundle.refresh import refresh
from export.formats import open_runtime
from zoo.cold_start import read_records

FORMATS = ("saved_model", "onnx", "tflite")
ITEMS = np.arange(100, 130)
# Users as a caller sends them. Each differs from the one before in one thing.
PEOPLE = (
    {"age": 25.0, "group": "even"},
    {"age": 70.0, "group": "even"},
    {"age": 70.0, "group": "odd"},
    {"age": 70.0, "group": "odd", "history": [103, 107, 120], "history_age": [3000.0, 200.0, 0.0]},
)


def described(bundle, endpoint: str):
    return next(one for one in bundle.endpoints if one.name == endpoint)


def ask(runtime, bundle, endpoint: str, people, **inputs: Any) -> dict[str, np.ndarray]:
    """Asks for unknown users, of whom only some features are given. What is not given is sent as nothing."""
    sent = {}
    for info in described(bundle, endpoint).inputs:
        # Numbers that are not known are NaN, and 0 where there is no event.
        nothing = np.nan if info.dtype == "float32" and len(info.shape) == 1 else info.padding
        shape = [len(people), *(size or 1 for size in info.shape[1:])]
        sent[info.name] = np.full(shape, nothing, object if info.dtype == "string" else info.dtype)
    for row, person in enumerate(people):
        sent["user"][row] = "a new user"
        for name, value in person.items():
            if name in ("history", "history_age"):
                sent[name][row, -len(value) :] = value
            else:
                sent[name][row] = value
        if seen := len(person.get("history", [])):
            # Records without ratings are understood so.
            sent["history_rating"][row, -seen:] = 5
    return runtime.run(endpoint, sent | {name: np.array(value) for name, value in inputs.items()})


def scores_of_model(run, people) -> np.ndarray:
    """The scores of the Keras model for the same users, asked as `recommend` asks it about feature records."""
    users = read_records(people, run.dataset)
    query = run.dataset.queries(run.model.query_names, np.ones(len(people), np.int32))
    for row, user in enumerate(users):
        for name in query.keys() & user.inputs.keys():
            query[name][row] = user.inputs[name]
    items = run.dataset.vocabularies["item"].index(ITEMS)
    return run.model.score(query, np.tile(items, (len(people), 1)))


@pytest.mark.parametrize("name", FORMATS)
def test_a_new_user_is_scored_by_features_as_by_the_model(features_runtimes, features_bundle, features_run, name):
    items = np.tile(ITEMS, (len(PEOPLE), 1))
    answer = ask(features_runtimes[name], features_bundle, "score", PEOPLE, items=items)
    assert answer["unknown_user"].tolist() == [1] * len(PEOPLE)
    assert not answer["unknown_group"].any()
    np.testing.assert_allclose(answer["scores"], scores_of_model(features_run, PEOPLE), atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_another_age_another_group_and_another_history_give_other_scores(features_runtimes, features_bundle, name):
    items = np.tile(ITEMS, (len(PEOPLE), 1))
    scores = ask(features_runtimes[name], features_bundle, "score", PEOPLE, items=items)["scores"]
    assert np.isfinite(scores).all()
    for before, after in pairwise(scores):
        assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("name", FORMATS)
def test_a_new_user_is_recommended_the_same_by_the_run_and_by_the_bundle(
    features_runtimes, features_bundle, features_run, name
):
    nothing = [[-1]] * len(PEOPLE)
    answer = ask(features_runtimes[name], features_bundle, "recommend", PEOPLE, exclude=nothing, candidates=nothing)
    frame = features_run.recommend(PEOPLE, k=10, exclude_seen=False)
    for row, (_, rows) in enumerate(frame.groupby("user", sort=False)):
        assert answer["items"][row, :10].tolist() == rows["item"].tolist()
        np.testing.assert_allclose(answer["scores"][row, :10], rows["score"], atol=1e-5)


@pytest.fixture(scope="module")
def refreshed(features_bundle, datasets, tmp_path_factory):
    """The bundle with the new items 500 and 501, which are known only by their features."""
    dataset = datasets["text"]
    year, genres = dataset.schema["year"], dataset.vocabularies["genres"]
    known = pd.DataFrame(
        {
            "item": dataset.vocabularies["item"].values,
            "title": dataset.titles[2:],
            "year": np.round(dataset.items["year"][2:] * year.std + year.mean).astype(int),
            "genres": ["|".join(genres.lookup(row[row > 1])) for row in dataset.items["genres"][2:]],
        }
    )
    new = pd.DataFrame(
        {
            "item": [500, 501],
            "title": ["The war of dragon", "A thing never heard of"],
            "year": [1985, None],
            "genres": ["love|space", "opera"],
        }
    )
    out = tmp_path_factory.mktemp("refreshed") / "bundle"
    return refresh(features_bundle, pd.concat([known, new], ignore_index=True), out)


@pytest.mark.parametrize("name", FORMATS)
def test_a_new_item_is_scored_by_its_features_for_known_and_new_users(refreshed, name):
    assert refreshed.changes.new == [500, 501]
    bundle = refreshed.bundle
    runtime = open_runtime(bundle.folder, name, bundle.endpoints, bundle.version)
    items = [[500, 501, 100]] * len(PEOPLE)
    answer = ask(runtime, bundle, "score", PEOPLE, items=items)
    assert not answer["unknown_items"].any()
    assert np.isfinite(answer["scores"]).all()
    # Two items of unknown id differ only in their features.
    assert (np.abs(answer["scores"][:, 0] - answer["scores"][:, 1]) > 1e-4).all()
    nothing = [[-1]] * len(PEOPLE)
    best = ask(runtime, bundle, "recommend", PEOPLE, exclude=nothing, candidates=[[500, 501]] * len(PEOPLE))
    assert [sorted(row[:2]) for row in best["items"].tolist()] == [[500, 501]] * len(PEOPLE)
