"""What tests of architectures on all features share: weights far from their start, and vectors looked up by hand."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import zoo
from zoo.layers import IdEmbedding, NumericEmbedding
from zoo.schema import Schema

LENGTH = 4


def randomized(name, schema=None, **hparams):
    """A model whose weights are all drawn anew; without a schema, one of only ids."""
    model = zoo.build(name, schema or Schema.of_ids(5, 7, history_length=LENGTH), **hparams)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.3, weight.shape))
    numbers = [layer for layer in model.layers if isinstance(layer, NumericEmbedding)]
    for layer in numbers:
        # All numbers are made vectors alike, so that it does not matter which layer is whose.
        layer.set_weights(numbers[0].get_weights())
    return model


def table(layer):
    """The vectors of all ids."""
    return np.asarray(layer.common) + np.asarray(layer.own.embeddings)


def make_example(model, users, history, ratings, items):
    """The linear terms and the feature vectors of examples of only ids, put together from the weights in NumPy."""
    history, ratings = np.array(history), np.array(ratings)
    met = history != 0
    liked, last = met & (ratings > 0), met & (np.arange(LENGTH) >= LENGTH - 2)
    events, likes = met.sum(axis=1), liked.sum(axis=1)
    numbers = np.stack([np.log(events + 1), (likes + 1) / (events + 2), (met * ratings).sum(axis=1) / events], axis=1)

    def pooled(vectors):
        pairs = [(liked, history), (last, history)]
        return [np.stack([vectors[row[m]].mean(axis=0) for m, row in zip(*pair, strict=True)]) for pair in pairs]

    linear = 0.0
    if any(layer.name == "history_weights" for layer in model.layers):
        weights = {kind: table(model.get_layer(f"{kind}_weights")) for kind in ("user", "item", "history")}
        dense = (layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
        ((kernel, bias),) = (layer.get_weights() for layer in dense if layer.kernel.shape == (3, 1))
        linear = numbers @ kernel + bias + sum(pooled(weights["history"]))
        linear = (linear + weights["user"][users] + weights["item"][items])[:, 0]
    wide = {layer.own.rows: table(layer) for layer in model.layers if _is_wide(layer)}
    if not wide:
        return SimpleNamespace(linear=linear)
    of_numbers = next(layer for layer in model.layers if isinstance(layer, NumericEmbedding))
    spread, bias, project, shift = of_numbers.get_weights()
    of_numbers = [np.tanh(number[:, None] @ spread + bias) @ project + shift for number in numbers.T]
    query, item = [wide[7][users], *pooled(wide[9]), *of_numbers], [wide[9][items]]
    return SimpleNamespace(linear=linear, vectors=[*query, *item])


def _is_wide(layer):
    return isinstance(layer, IdEmbedding) and layer.own.dim > 1


EXAMPLES = {
    "users": [3, 6],
    "history": [[0, 4, 2, 5], [3, 3, 8, 4]],
    "ratings": [[0.0, 0.4, -0.2, 0.2], [0.2, -0.6, 0.4, 0.4]],
    "items": [4, 7],
}


@pytest.fixture
def by_hand():
    """Gives the model of an architecture on ids, its scores of two examples, and what they are made of."""

    def make(name, **hparams):
        model = randomized(name, recent=2, **hparams)
        query = {"user": EXAMPLES["users"], "history": EXAMPLES["history"], "history_rating": EXAMPLES["ratings"]}
        return model, model.score(query, EXAMPLES["items"]), make_example(model, **EXAMPLES)

    return make


@pytest.fixture
def features_that_count(datasets):
    """Gives the features of the data with all kinds of them that change the scores of an architecture."""

    def find(name):
        dataset = datasets["text"]
        model = randomized(name, dataset.schema, **zoo.info(name).tiny)
        model.adapt(items=dataset.items)
        users, items = np.array([2, 3]), np.array([5, 12])
        query = dataset.queries(model.query_names, users, "train", context="train")
        before, found = model.score(query, items), set()

        def note(feature, **changed):
            if not np.allclose(model.score({**query, **changed}, items), before, atol=1e-5):
                found.add(feature)

        for feature in model.query_names:
            note(feature, **{feature: 5 - query[feature] if feature == "device" else query[feature][::-1]})
        for feature, values in dataset.items.items():
            model.adapt(items={**dataset.items, feature: np.roll(values, 5, axis=0)})
            note(feature)
        return found

    return find
