from __future__ import annotations

import doctest
import json

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import zoo
from zoo.errors import UserError
from zoo.families import ItemLogits, Pairs, Towers
from zoo.families import pairs as pairs_module
from zoo.families.top_k import NO_ITEM_SCORE
from zoo.layers import data_layers
from zoo.saving import read_recommender, write_recommender
from zoo.schema import FIRST_KNOWN, PADDING

# One architecture of each family, and one with every kind of feature.
FAMILIES = {
    "mf": ("ids", Towers),
    "ncf": ("ids", Pairs),
    "autoencoder": ("ids", ItemLogits),
    "elcorec": ("text", Towers),
}
EVERY = pytest.mark.parametrize("name", FAMILIES)


def shaken(model, seed=0):
    """The model with weights all of which matter, in place of the small ones it starts with."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


@pytest.fixture(scope="module")
def models(datasets):
    made = {}
    for name, (kind, _) in FAMILIES.items():
        model = zoo.build(name, datasets[kind].schema, **zoo.info(name).tiny)
        model.adapt(items=datasets[kind].items)
        made[name] = shaken(model)
    return made


@pytest.fixture(scope="module")
def queries(datasets, models):
    """A query for every user row, padding and unknown included."""
    return {
        name: datasets[kind].queries(models[name].query_names, np.arange(datasets[kind].num_users), "train")
        for name, (kind, _) in FAMILIES.items()
    }


def whole_catalogue(model, query):
    return np.asarray(model.score_catalogue(model._tensors(query), model.encode_catalogue()))


def brute_force(scores, k, exclude, candidates):
    """The ranking written out for one query at a time."""
    items = np.zeros((len(scores), k), np.int32)
    best = np.full((len(scores), k), NO_ITEM_SCORE, np.float32)
    for row, values in enumerate(scores):
        chosen = {int(item) for item in candidates[row]} - {PADDING}
        allowed = [
            item
            for item in range(FIRST_KNOWN, len(values))
            if item not in exclude[row] and (not chosen or item in chosen)
        ]
        ranked = sorted(allowed, key=lambda item: -values[item])[:k]
        items[row, : len(ranked)] = ranked
        best[row, : len(ranked)] = values[ranked]
    return items, best


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(pairs_module).failed == 0


# Scores


@EVERY
def test_every_family_scores_a_pair_the_same_in_every_way(models, queries, name):
    model, query = models[name], queries[name]
    num_queries = len(next(iter(query.values())))
    everything = np.tile(np.arange(model.num_items), (num_queries, 1))
    expected = whole_catalogue(model, query)
    assert expected.shape == everything.shape
    assert expected[:, FIRST_KNOWN:].std() > 1e-3
    np.testing.assert_allclose(model.score(query, everything), expected, rtol=1e-5, atol=1e-5)
    one_each = everything[np.arange(num_queries), np.arange(num_queries) % model.num_items]
    picked = expected[np.arange(num_queries), one_each]
    np.testing.assert_allclose(model.score(query, one_each), picked, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model({**query, "item": one_each}), picked, rtol=1e-5, atol=1e-5)
    items = tf.constant(everything, tf.int32)
    given = model.score_items(model._tensors(query), items, model.encode_catalogue())
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


@EVERY
def test_the_family_is_the_one_declared(models, name):
    assert isinstance(models[name], FAMILIES[name][1])


def test_every_family_has_a_name_of_its_own():
    assert [family.family for family in (Towers, Pairs, ItemLogits)] == ["towers", "pairs", "item logits"]


# The data inside


def test_adapt_calls_only_what_some_layer_wants_and_calls_it_once(datasets):
    asked = []

    def interactions():
        asked.append("interactions")
        return scipy.sparse.csr_matrix(([4.0], ([2], [3])), shape=(data.num_users, data.num_items))

    def texts():
        raise AssertionError("no layer reads texts")

    data = datasets["ids"]
    zoo.build("two_tower", data.schema).adapt(data.items, interactions, texts)
    assert asked == []
    model = zoo.build("item_autoencoder", data.schema, hidden=2)
    model.adapt(data.items, interactions, texts)
    assert asked == ["interactions"]
    [layer] = data_layers(model)
    assert np.asarray(layer.rows)[3, 2] == 4


def test_adapt_leaves_what_it_is_not_given_as_it_is(datasets):
    data = datasets["features"]
    model = zoo.build("two_tower", data.schema)
    model.adapt(items=data.items)
    model.adapt()
    for layer in data_layers(model):
        np.testing.assert_array_equal(layer.rows, data.items[layer.feature_name])


def test_matrix_factorization_is_a_dot_product_and_two_biases(models, queries):
    shapes = {"p": (26, 4), "q": (32, 4), "user_bias": (26, 1), "item_bias": (32, 1)}
    weights = {weight.shape: weight.numpy() for weight in models["mf"].weights}
    p, q, user_bias, item_bias = (weights[shape] for shape in shapes.values())
    scores = whole_catalogue(models["mf"], queries["mf"])
    np.testing.assert_allclose(scores, p @ q.T + user_bias + item_bias.T, rtol=1e-5, atol=1e-5)


def test_an_unknown_user_of_a_factorization_gets_what_the_item_biases_say(datasets):
    model = zoo.build("mf", datasets["ids"].schema, embedding_dim=4)
    item_bias = next(weight.numpy() for weight in model.weights if weight.shape == (32, 1))
    np.testing.assert_allclose(whole_catalogue(model, {"user": [1]}), item_bias.T, atol=1e-7)


@pytest.mark.parametrize("name", ["mf", "ncf", "autoencoder"])
def test_a_rating_scale_makes_scores_ratings(datasets, name):
    kind, _ = FAMILIES[name]
    data = datasets[kind]
    model = shaken(zoo.build(name, data.schema, **zoo.info(name).tiny))
    query = data.queries(model.query_names, np.arange(5), "train")
    items = np.full((5, 3), [2, 7, 9])
    logits, whole = model.score(query, items), whole_catalogue(model, query)
    assert not model.scores_are_ratings
    model.set_rating_scale(3.5, 2.0)
    assert model.scores_are_ratings
    np.testing.assert_allclose(model.score(query, items), 3.5 + 2 * logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(whole_catalogue(model, query), 3.5 + 2 * whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model({**query, "item": items[:, 0]}), 3.5 + 2 * logits[:, 0], rtol=1e-5, atol=1e-5)


def test_pairs_score_the_same_in_small_chunks(datasets, models, queries, monkeypatch):
    model, query = models["ncf"], queries["ncf"]
    expected = whole_catalogue(model, query)
    sizes = []
    score = Pairs._score
    monkeypatch.setattr(pairs_module, "ITEMS_AT_ONCE", 5)

    def noted(self, query, rows, **rest):
        sizes.append(len(rows[0]))
        return score(self, query, rows, **rest)

    monkeypatch.setattr(Pairs, "_score", noted)
    np.testing.assert_allclose(whole_catalogue(model, query), expected, atol=1e-6)
    assert sizes == [5, 5, 5, 5, 5, 5, 2]
    sizes.clear()
    monkeypatch.setattr(pairs_module, "MOST_LAYERS", 2 * len(model.pair_network.operations))
    np.testing.assert_allclose(whole_catalogue(model, query), expected, atol=1e-6)
    assert sizes == [16, 16]


def test_elcorec_graph_has_the_recent_events_only(datasets):
    data = datasets["ids"]
    hparams = {"head": "cosine", "recent": 2, "embedding_dim": 4, "heads": 2, "units": 4}
    model = shaken(zoo.build("elcorec_graph", data.schema, **hparams))
    query = data.queries(model.query_names, np.arange(2, 8), "train")
    older = {**query, "history": query["history"].copy()}
    older["history"][:, :-2] = 5
    newer = {**query, "history": query["history"].copy()}
    newer["history"][:, -1] = 5
    expected = model.recommend(query)[1]
    np.testing.assert_array_equal(model.recommend(older)[1], expected)
    assert np.abs(model.recommend(newer)[1] - expected).max() > 1e-4


# Recommendations


@EVERY
@pytest.mark.parametrize("k", [1, 5, 30])
def test_recommending_is_ranking_what_is_allowed(models, queries, name, k):
    model, query = models[name], queries[name]
    scores = whole_catalogue(model, query)
    rng = np.random.default_rng(k)
    exclude = rng.integers(0, model.num_items, (len(scores), 12))
    candidates = rng.integers(0, model.num_items, (len(scores), 9))
    candidates[::2] = PADDING
    items, best = model.recommend(query, k, exclude=exclude, candidates=candidates)
    expected_items, expected_best = brute_force(scores, k, exclude, candidates)
    np.testing.assert_allclose(best, expected_best, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(items == PADDING, expected_items == PADDING)
    # Near ties may come in either order, so the scores decide; an item comes once.
    found = np.where(items == PADDING, NO_ITEM_SCORE, np.take_along_axis(scores, items, axis=1))
    np.testing.assert_allclose(found, expected_best, rtol=1e-5, atol=1e-5)
    for row in range(len(items)):
        there = items[row][items[row] != PADDING]
        assert len(set(there)) == len(there)
        assert not set(there) & {0, 1, *exclude[row]}
        assert not candidates[row].any() or set(there) <= set(candidates[row])
    assert items.dtype == np.int32
    assert best.dtype == np.float32


@EVERY
def test_without_further_wishes_the_whole_catalogue_is_ranked(models, queries, name):
    model, query = models[name], queries[name]
    items, best = model.recommend(query, k=model.num_items - FIRST_KNOWN)
    assert (np.sort(items, axis=1) == np.arange(FIRST_KNOWN, model.num_items)).all()
    assert (np.diff(best, axis=1) <= 0).all()
    again = model.recommend(query, k=model.num_items - FIRST_KNOWN, catalogue=model.encode_catalogue())
    np.testing.assert_array_equal(again[0], items)


def test_slots_without_an_item_left_are_empty(models):
    model, query = models["mf"], {"user": np.array([3, 4, 5])}
    exclude = np.zeros((3, 28), np.int32)
    exclude[0] = np.arange(2, 30)
    candidates = np.array([[0, 0], [7, 0], [1, 0]])
    items, scores = model.recommend(query, k=3, exclude=exclude, candidates=candidates)
    assert sorted(items[0]) == [0, 30, 31]
    assert items[0, 2] == PADDING
    assert items[1].tolist() == [7, 0, 0]
    assert items[2].tolist() == [0, 0, 0], "only the unknown item was to choose from"
    assert (scores[items == PADDING] == np.float32(NO_ITEM_SCORE)).all()
    assert (scores[items != PADDING] > NO_ITEM_SCORE).all()
    assert np.isfinite(scores).all()


@EVERY
def test_items_that_are_not_offered_are_neither_recommended_nor_chosen(models, queries, name):
    model, query = models[name], queries[name]
    tensors = model._tensors(query)
    size = len(next(iter(query.values())))
    offered = np.ones(model.num_items, bool)
    offered[[5, 9]] = False
    nothing, candidates = np.zeros((size, 1), np.int32), np.tile(np.int32([5, 9, 7]), (size, 1))
    candidates[1::2] = 0
    items, scores = model.rank(20, tensors, nothing, candidates, model.encode_catalogue(), offered)
    assert not {5, 9} & set(items.numpy().ravel())
    assert (items[::2, 0].numpy() == 7).all()
    assert (items[::2, 1:].numpy() == PADDING).all()
    assert (scores[::2, 1:].numpy() == np.float32(NO_ITEM_SCORE)).all()
    everything, _ = model.rank(model.num_items - 2, tensors, nothing, nothing, model.encode_catalogue())
    assert {5, 9} <= set(everything.numpy().ravel())


@EVERY
@pytest.mark.parametrize("k", [0, -1, 31])
def test_a_k_out_of_range_is_an_error(models, queries, name, k):
    with pytest.raises(UserError, match=f"between 1 and the 30 items of the catalogue. Received: {k}"):
        models[name].recommend(queries[name], k)


@EVERY
def test_a_missing_query_input_is_named(models, queries, name):
    model = models[name]
    left_out = model.query_names[-1]
    query = {key: value for key, value in queries[name].items() if key != left_out}
    for ask in (model.recommend, lambda query: model.score(query, np.zeros(26, np.int32))):
        with pytest.raises(UserError, match=f"{name} needs the query inputs .* Missing: {left_out}"):
            ask(query)


def test_inputs_that_no_query_needs_do_not_matter(models):
    query = {"user": np.array([2, 3])}
    more = {**query, "mood": np.array(["good", "bad"])}
    np.testing.assert_array_equal(models["mf"].recommend(more)[0], models["mf"].recommend(query)[0])


# Saving


@EVERY
def test_a_saved_model_says_the_same(models, queries, name, tmp_path):
    model, query = models[name], queries[name]
    write_recommender(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.json", "weights.npz"]
    again = read_recommender(tmp_path)
    assert type(again) is type(model)
    assert again.recipe.keys() == model.recipe.keys()
    assert again.schema == model.schema
    np.testing.assert_array_equal(whole_catalogue(again, query), whole_catalogue(model, query))


def test_the_rating_scale_is_saved_too(datasets, tmp_path):
    model = zoo.build("mf", datasets["ids"].schema, embedding_dim=2)
    model.set_rating_scale(3.0, 1.5)
    write_recommender(model, tmp_path)
    again = read_recommender(tmp_path)
    assert again.scores_are_ratings
    assert again.score({"user": [1]}, [1]).tolist() == [3.0]


def test_the_hparams_given_are_in_the_recipe_beside_the_defaults(datasets):
    recipe = zoo.build("ncf", datasets["ids"].schema, hidden=(8,)).recipe
    assert recipe["hparams"] == {"embedding_dim": 32, "hidden": [8], "dropout": 0.0}
    assert json.loads(json.dumps(recipe)) == recipe
    assert (recipe["name"], recipe["schema"]) == ("ncf", datasets["ids"].schema.to_json())


# As a Keras model


@pytest.mark.parametrize("name", ["mf", "ncf", "autoencoder"])
def test_stock_keras_trains_and_summarizes_it(datasets, name):
    data = datasets["ids"]
    keras.utils.set_random_seed(0)
    model = zoo.build(name, data.schema, **zoo.info(name).tiny)
    rows = data.part("train")
    query = data.queries(model.query_names, rows["user"].to_numpy(), "train")
    labels = (rows["label"] > 3).to_numpy(np.float32)
    model.compile(keras.optimizers.Adam(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    inputs = {**query, "item": rows["item"].to_numpy()}
    fitted = model.fit(inputs, labels, batch_size=64, epochs=3, verbose=0)
    assert fitted.history["loss"][-1] < fitted.history["loss"][0]
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert f"Trainable params: {trained:,} " in "\n".join(lines)


def test_keras_saves_and_loads_what_stock_keras_compiled_and_trained(datasets, tmp_path):
    data = datasets["ids"]
    model = zoo.build("mf", data.schema, embedding_dim=4)
    rows = data.part("train")
    inputs = {"user": rows["user"].to_numpy(), "item": rows["item"].to_numpy()}
    labels = (rows["label"] > 3).to_numpy(np.float32)
    model.compile(keras.optimizers.Adam(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(inputs, labels, batch_size=64, epochs=1, verbose=0)
    model.save(tmp_path / "mf.keras")
    again = keras.saving.load_model(tmp_path / "mf.keras")
    for before, after in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(before, after)
    # The state of the optimizer is there too, so training goes on as it would have.
    histories = [one.fit(inputs, labels, batch_size=64, shuffle=False, verbose=0).history for one in (model, again)]
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-6)


@EVERY
def test_the_networks_of_a_family_are_not_counted_as_layers_of_its_model(models, name):
    model = models[name]
    weights = model.weights
    assert len({id(weight) for weight in weights}) == len(weights)
    # As of the graph of inputs and outputs, which knows nothing of attributes; saved weights are told by their place.
    graph = keras.Model(model.input, model.output)
    assert [weight.path for weight in weights] == [weight.path for weight in graph.weights]
    assert model.layers == graph.layers


def test_query_inputs_come_in_the_order_of_the_schema(models):
    schema = models["elcorec"].schema
    assert models["elcorec"].query_names == [
        feature.name for feature in schema if feature.role in ("user", "history", "context")
    ]


def test_weights_of_an_architecture_that_was_changed_since_are_refused(tmp_path):
    write_recommender(zoo.build("mf", num_users=5, num_items=7, embedding_dim=4), tmp_path)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    recipe["hparams"]["embedding_dim"] = 5
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(UserError, match="do not fit the architecture 'mf'"):
        read_recommender(tmp_path)
