"""The queries that artefacts are asked: at random, of real users, and at the edges of the schema."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from export.values import encoded_ids
from export.verification.artefacts import BATCH_SIZES
from export.verification.queries import sample_queries, verification_queries
from export.verification.reference import load_reference
from zoo.data import prepare
from zoo.schema import UNKNOWN

# The queries


@pytest.fixture(scope="module")
def queries(features_run, features_bundle):
    """What verification asks each endpoint of an architecture that reads every kind of feature."""
    run, endpoints = features_run, features_bundle.endpoints
    sample, vocabularies = sample_queries(run.model, run.dataset), run.dataset.vocabularies
    return {e.name: verification_queries(run.model, vocabularies, e, sample)[0] for e in endpoints}


@pytest.fixture(scope="module")
def indices(features_run, features_bundle, queries):
    """The queries with every value that is looked up in a vocabulary as its index."""
    vocabularies = features_run.dataset.vocabularies
    return {
        endpoint.name: {
            info.name: vocabularies[info.vocabulary].index(values.ravel()).reshape(values.shape)
            for info in endpoint.inputs
            if info.vocabulary
            for values in [queries[endpoint.name][info.name]]
        }
        for endpoint in features_bundle.endpoints
    }


@pytest.mark.parametrize("endpoint", ["recommend", "score"])
def test_at_least_500_queries_with_every_input_are_asked(features_bundle, queries, endpoint):
    (described,) = (e for e in features_bundle.endpoints if e.name == endpoint)
    assert list(queries[endpoint]) == [info.name for info in described.inputs]
    for info in described.inputs:
        values = queries[endpoint][info.name]
        assert len(values) >= 500
        assert values.shape[1:] == tuple(
            size or have for size, have in zip(info.shape[1:], values.shape[1:], strict=True)
        )


@pytest.mark.parametrize("name", ["user", "group", "device", "history", "exclude", "candidates"])
def test_unknown_values_are_asked_for(indices, name):
    asked = indices["recommend"][name]
    assert (asked == UNKNOWN).any()
    assert (asked > UNKNOWN).any()


def test_histories_of_every_length_are_asked_for(indices, features_run):
    full = features_run.dataset.schema["history"].length
    lengths = set(np.count_nonzero(indices["recommend"]["history"], axis=1).tolist())
    assert lengths == set(range(full + 1))


def test_histories_are_padded_in_front(indices):
    there = indices["recommend"]["history"] != 0
    assert (np.diff(there.astype(int), axis=1) >= 0).all()


def test_numbers_are_asked_for_in_raw_units_and_missing(features_run, queries):
    feature = features_run.dataset.schema["age"]
    asked = queries["recommend"]["age"]
    assert np.isnan(asked).any()
    assert np.isinf(asked).any()
    assert abs(asked[np.isfinite(asked)].mean() - feature.mean) < feature.std


@pytest.mark.parametrize("threshold", [None, 3])
def test_ratings_are_asked_for_as_the_data_may_have_them(make_run, features_bundle, threshold):
    rows = [(user, item, 1 + (user + item) % 5) for user in range(8) for item in range(8)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    data = prepare(frame, label_threshold=threshold, split={"name": "random", "valid": 0, "test": 0.2})
    run = make_run("logistic", data)
    sample, score = sample_queries(run.model, data), next(e for e in features_bundle.endpoints if e.name == "score")
    (asked,) = verification_queries(run.model, data.vocabularies, score, sample)
    there = asked["history_rating"][asked["history"] >= 0]
    there = there[np.isfinite(there)]
    assert 0.9 < there.min() < 1.1
    assert 4.9 < there.max() < 5.0001


def test_some_queries_exclude_everything_but_three_items(features_run, features_bundle):
    run, recommend = features_run, features_bundle.endpoints[0]
    sample, item = sample_queries(run.model, run.dataset), run.dataset.vocabularies["item"]
    _, group = verification_queries(run.model, run.dataset.vocabularies, recommend, sample)
    excluded = item.index(group["exclude"].ravel()).reshape(group["exclude"].shape)
    assert {len(set(row.tolist())) for row in excluded} == {len(item) - 3}
    assert (excluded > UNKNOWN).all()


def test_some_queries_exclude_nothing_and_some_a_few(indices):
    excluded = np.count_nonzero(indices["recommend"]["exclude"] > UNKNOWN, axis=1)
    assert (excluded == 0).any()
    assert ((excluded > 0) & (excluded < 20)).any()


def test_some_queries_have_candidates_and_most_choose_from_the_whole_catalogue(indices):
    candidates = (indices["recommend"]["candidates"] != 0).any(axis=1)
    assert 20 <= candidates.sum() < len(candidates) / 2


def test_scores_of_known_and_unknown_items_are_asked_for(indices, features_run):
    asked = set(indices["score"]["items"].ravel().tolist())
    assert asked == set(range(features_run.model.num_items))


def test_the_queries_are_the_same_every_time(features_run, features_bundle, queries):
    run = features_run
    sample = sample_queries(run.model, run.dataset)
    again = verification_queries(run.model, run.dataset.vocabularies, features_bundle.endpoints[0], sample)[0]
    for name, values in queries["recommend"].items():
        np.testing.assert_array_equal(again[name], values)


def test_the_sample_is_of_users_with_what_they_have_seen_and_what_they_should_find(run):
    sample, data = sample_queries(run.model, run.dataset), run.dataset
    users, items = (data.vocabularies[name] for name in ("user", "item"))
    assert len(sample["user"]) > 10
    for user, seen, relevant in zip(*(sample[name] for name in ("user", "exclude", "relevant")), strict=True):
        (index,) = users.index([user])
        known = set(items.lookup(data.sequences("train", "valid").of(index)))
        assert {*seen} - {""} == known
        assert {*relevant} - {""} == set(items.lookup(data.sequences("test").of(index))) - known


def test_batches_are_one_a_few_and_many():
    assert tuple(BATCH_SIZES) == (1, 3, 64)


def test_the_edges_are_asked_at_every_batch_size_and_all_queries_at_the_largest(bundle):
    asked = {
        check["batch_size"]: check["queries"] for check in bundle.manifest["checks"] if check["endpoint"] == "score"
    }
    assert asked[1] == asked[3] == 100
    assert asked[64] > 500
    (inputs, _), *_ = load_reference(bundle.folder)["score"]
    assert inputs["user"][0].endswith("?"), "the unknown user comes first"


def test_the_reference_holds_what_the_trained_model_recommends(run, bundle):
    vocabularies = run.dataset.vocabularies
    for inputs, expected in load_reference(bundle.folder)["recommend"]:
        query = {"user": vocabularies["user"].index(inputs["user"])}
        lists = [encoded_ids(inputs[name], vocabularies["item"]) for name in ("exclude", "candidates")]
        items, scores = run.model.recommend(query, bundle.manifest["k"], *lists)
        np.testing.assert_array_equal(expected["items"], vocabularies["item"].lookup(items))
        np.testing.assert_allclose(expected["scores"], scores, rtol=0, atol=1e-6)
    assert (np.count_nonzero(expected["items"] != "", axis=1) == 3).all(), "every item except three is excluded"
