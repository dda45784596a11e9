from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.schema import Feature, Schema, history_features

HISTORY = np.array([[0, 2, 4, 3]], np.int32)


def make(is_ordered=True, **hparams):
    schema = Schema([Feature("item", "item", "id", 7), *history_features(7, 4, 1.0, is_ordered=is_ordered)])
    model = zoo.build("hstu", schema, embedding_dim=4, num_blocks=1, **hparams)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def test_a_score_is_a_cosine_over_the_temperature():
    model = make(temperature=0.5)
    query = {"history": HISTORY, "history_age": np.array([[0, 9, 2, 1]], np.float32)}
    event, item = model.encode_query(query).numpy()[0], model.encode_items(np.array([5])).numpy()[0]
    assert np.linalg.norm(event) == pytest.approx(2.0, rel=1e-5)
    assert np.linalg.norm(item) == pytest.approx(1.0, rel=1e-5)
    assert model.score(query, [5]) == pytest.approx([event @ item], rel=1e-5)


def test_times_count_where_they_are_asked_for():
    model = make()
    early, late = (
        {"history": HISTORY, "history_age": np.array([ages], np.float32)} for ages in ([0, 9, 2, 1], [0, 900, 2, 1])
    )
    assert not np.allclose(model.encode_query(early), model.encode_query(late), atol=1e-4)
    assert make(relative_time=False).query_names == ["history"]


def test_events_without_times_are_enough():
    model = make(is_ordered=False)
    assert model.query_names == ["history"]
    assert np.isfinite(model.score({"history": HISTORY}, [[2, 3]])).all()
