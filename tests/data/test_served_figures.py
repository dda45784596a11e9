"""Figures of rankings are those that a server would give: no column of the interactions tells the answer."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.data import prepare
from zoo.data.dataset import Dataset
from zoo.evaluation.protocols import Evaluation

SPLITS = {
    "random": "random",
    "leave-last-out": "leave-last-out",
    "time": {"name": "time", "valid": 0.1, "test": 0.2},
    "users": {"name": "users", "valid": 0.2, "test": 0.3},
}
READS_CONTEXT = [name for name in zoo.list_models() if "context" in zoo.info(name).query]
PROTOCOLS = ("full-ranking", "sampled-ranking")
TRAIN = {"epochs": 4, "batch_size": 128, "learning_rate": 0.02}
DECLARED = {"unit_price": {"at_request": True}}


def shop(num_users: int = 150, num_items: int = 60, each: int = 12, **options) -> Dataset:
    """Purchases at random, so that nothing can be learnt, each with the price of its item."""
    rng = np.random.default_rng(0)
    prices = rng.gamma(2, 20, num_items).round(2)
    orders = pd.DataFrame(
        [(user, item) for user in range(num_users) for item in rng.choice(num_items, each, replace=False)],
        columns=["user", "item"],
    )
    orders["unit_price"] = prices[orders["item"]]
    orders["quantity"] = rng.integers(1, 4, len(orders))
    orders["timestamp"] = 1_700_000_000 + rng.integers(0, 10**7, len(orders))
    return with_candidates(prepare(orders, max_history=10, **options))


def with_candidates(data: Dataset) -> Dataset:
    """The same data, with 30 items that each user has not bought to rank against."""
    rng, bought = np.random.default_rng(1), data.sequences("train", "valid", "test", "query")
    candidates = np.zeros((data.num_users, 30), np.int32)
    for user in range(2, data.num_users):
        others = np.setdiff1d(np.arange(2, data.num_items), bought.of(user))
        candidates[user] = rng.choice(others, 30, replace=False)
    return dataclasses.replace(data, candidates={"valid": candidates, "test": candidates})


@functools.cache
def shop_of(split: str) -> Dataset:
    """The shop by one of the splits; made once, because every architecture is tried on it."""
    return shop(split=SPLITS[split])


@functools.cache
def chance_of(split: str, protocol: str) -> dict[str, tuple[float, float]]:
    """What `chance` gives for `shop_of`."""
    return chance(shop_of(split), protocol)


def chance(data: Dataset, protocol: str) -> dict[str, tuple[float, float]]:
    """Mean and standard error of every metric for models that know nothing."""
    found = [untrained(data, protocol, seed).metrics for seed in range(5)]
    return {
        name: (
            float(np.mean([metrics[name].mean for metrics in found])),
            float(np.mean([metrics[name].high - metrics[name].low for metrics in found])) / 3.92,
        )
        for name in found[0]
    }


def untrained(data: Dataset, protocol: str, seed: int) -> Evaluation:
    import keras

    from zoo.evaluation.protocols import evaluate

    keras.utils.set_random_seed(seed)
    return evaluate(zoo.build("mf", data.schema), data, protocol, resamples=200)


def assert_is_chance(name: str, split: str) -> None:
    run = zoo.train(name, shop_of(split), hparams=zoo.info(name).tiny, train=TRAIN)
    for protocol in PROTOCOLS:
        expected = chance_of(split, protocol)
        for metric, interval in run.evaluate(protocol).metrics.items():
            mean, error = expected[metric]
            assert interval.mean < mean + 4.5 * error, f"{protocol} {metric}: {interval.mean}, by chance {mean}"


def test_a_price_in_the_interactions_does_not_tell_the_answer():
    features = shop_of("leave-last-out").schema.role("item")
    assert [feature.name for feature in features] == ["item", "unit_price"]
    assert_is_chance("two_tower", "leave-last-out")


def test_a_price_that_is_declared_as_known_tells_the_answer():
    """This shows that the test above can fail."""
    data = shop(split="leave-last-out", features=DECLARED)
    run = zoo.train("two_tower", data, hparams=zoo.info("two_tower").tiny, train={**TRAIN, "epochs": 8})
    for protocol in PROTOCOLS:
        mean, error = chance(data, protocol)["ndcg@10"]
        assert run.evaluate(protocol).metrics["ndcg@10"].mean > mean + 9 * error


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", READS_CONTEXT)
def test_no_architecture_is_told_the_answer_by_any_split(name, split):
    assert_is_chance(name, split)
