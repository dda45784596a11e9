from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN

TINY = {"embedding_dim": 4, "hidden": (32,), "dim": 6}


def built(dataset: Dataset, **hparams):
    """A model with the dataset's catalogue."""
    model = zoo.build("two_tower", dataset.schema, **{**TINY, **hparams})
    model.adapt(items=dataset.items)
    return model


def query_of(model, dataset: Dataset, users=(2, 3)):
    return dataset.queries(model.query_names, np.array(users), "train", context="train")


@pytest.mark.parametrize("kind", ["ids", "features", "text"])
def test_scores_are_cosines_over_the_temperature(kind, datasets):
    dataset = datasets[kind]
    model = built(dataset, temperature=0.2)
    queries = model.encode_query(query_of(model, dataset)).numpy()
    items = model.encode_catalogue()[0].numpy()[FIRST_KNOWN:]
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 5, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, rtol=1e-4)
    assert (np.abs(queries @ items.T) <= 5 + 1e-4).all()


def test_without_normalization_only_the_temperature_is_left(datasets):
    dataset = datasets["text"]
    plain, hot = (built(dataset, normalize=False, temperature=temperature) for temperature in (1.0, 2.0))
    hot.set_weights(plain.get_weights())
    query = query_of(plain, dataset)
    items = np.array([5, 6])
    np.testing.assert_allclose(hot.score(query, items), plain.score(query, items) / 2, rtol=1e-5)
    assert np.linalg.norm(plain.encode_items(items), axis=1) != pytest.approx(np.ones(2), abs=1e-3)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_is_above_0(datasets, temperature):
    with pytest.raises(UserError, match="temperature must be above 0"):
        built(datasets["ids"], temperature=temperature)


@pytest.mark.parametrize("feature", ["user", "age", "group", "history", "history_rating", "device"])
def test_every_feature_of_the_query_counts(datasets, feature):
    dataset, rng = datasets["text"], np.random.default_rng(0)
    model = built(dataset)
    for weight in model.trainable_weights:  # before training all ids have the same vector
        weight.assign(rng.normal(size=weight.shape))
    query = query_of(model, dataset)
    before = model.encode_query(query).numpy()
    query[feature] = query[feature][::-1].copy() if feature != "device" else 5 - query[feature]
    assert not np.allclose(model.encode_query(query), before, atol=1e-6)


@pytest.mark.parametrize("feature", ["title", "year", "genres"])
def test_every_feature_of_an_item_counts(datasets, feature):
    dataset = datasets["text"]
    model = built(dataset)
    before = model.encode_catalogue()[0].numpy()
    model.adapt(items={**dataset.items, feature: dataset.items[feature][::-1]})
    assert not np.allclose(model.encode_catalogue()[0], before, atol=1e-6)


def test_the_order_of_a_history_does_not_count(datasets):
    dataset = datasets["ids"]
    model = built(dataset)
    query = query_of(model, dataset)
    turned = {name: np.flip(value, axis=-1).copy() if "history" in name else value for name, value in query.items()}
    np.testing.assert_allclose(model.encode_query(turned), model.encode_query(query), atol=1e-5)


def test_it_learns_which_half_of_the_catalogue_a_user_likes(datasets):
    dataset = datasets["text"]
    settings = {"epochs": 20, "batch_size": 64, "learning_rate": 0.01, "patience": None}
    run = zoo.train("two_tower", dataset, hparams=TINY, train=settings, progress=False)
    assert run.metrics["full-ranking/test"]["metrics"]["ndcg@10"]["mean"] > 0.4
