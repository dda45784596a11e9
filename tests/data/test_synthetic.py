from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zoo.data.synthetic import make_synthetic
from zoo.errors import UserError

SMALL = {"num_users": 60, "num_items": 80, "num_interactions": 900}


@pytest.fixture(scope="module")
def data():
    return make_synthetic(**SMALL, split="leave-last-out")


def test_it_has_features_of_every_kind(data):
    kinds = {
        feature.name: (feature.role, feature.kind) for feature in data.schema.side_features("user", "item", "context")
    }
    assert kinds == {
        "age": ("user", "numeric"),
        "segment": ("user", "categorical"),
        "price": ("item", "numeric"),
        "category": ("item", "categorical"),
        "tags": ("item", "categorical"),
        "description": ("item", "text"),
        "device": ("context", "categorical"),
    }
    assert data.schema["tags"].length > 1


def test_ids_are_strings_and_times_of_a_user_differ(data):
    assert data.vocabularies["user"].to_json()[0] == "u0001"
    assert data.vocabularies["item"].to_json()[0].startswith("i00")
    assert not data.interactions.duplicated(["user", "timestamp"]).any()


def test_the_seed_decides_it():
    one, same, other = (make_synthetic(**SMALL, seed=seed).interactions for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)


@pytest.mark.parametrize("split", ["leave-last-out", "random", "users"])
def test_the_best_ranking_is_known_and_far_better_than_popularity(split):
    data = make_synthetic(300, 100, 6000, split=split)
    best = data.facts["best_ndcg@10"]
    assert 0 < best <= data.facts["best_hr@10"] <= 1
    assert best > 1.5 * popularity_ndcg(data)


def popularity_ndcg(data) -> float:
    counts = np.bincount(data.part("train")["item"], minlength=data.num_items).astype(float)
    discounts = 1 / np.log2(np.arange(10) + 2)
    seen, found = data.sequences("train", "valid", "query"), data.sequences("test")
    scores = []
    for user in np.flatnonzero(found.counts):
        ranked = counts.copy()
        ranked[[0, 1, *seen.of(user)]] = -1
        relevant = found.of(user)
        gained = np.isin(np.argsort(-ranked, kind="stable")[:10], relevant) @ discounts
        scores.append(gained / discounts[: len(relevant)].sum())
    return float(np.mean(scores))


def test_nothing_is_claimed_without_test_interactions():
    assert make_synthetic(**SMALL, split={"name": "random", "valid": 0.1, "test": 0}).facts == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_users": 0}, "Expected 1 user and 8 items at least"),
        ({"num_interactions": 10}, "from 180"),
        ({"num_interactions": 10_000}, "to 1200"),
    ],
)
def test_impossible_sizes_are_errors(options, message):
    with pytest.raises(UserError, match=message):
        make_synthetic(**{**SMALL, **options})
