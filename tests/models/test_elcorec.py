"""The two architectures of ELCoRec: towers that recommend, and a graph that predicts clicks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import export
import zoo
from zoo.data.dataset import PARTS, Dataset
from zoo.data.preparation import prepare
from zoo.errors import UserError
from zoo.families import Pairs, Towers
from zoo.keras_internals import flatten_layers
from zoo.schema import FIRST_KNOWN, UNKNOWN

BOTH = {"recent": 5, "dropout": 0.0, "id_dropout": 0.3}
GRAPH = {**BOTH, "embedding_dim": 4, "heads": 2, "units": 4, "hidden": (8,)}
TOWERS = {**BOTH, "embedding_dim": 16, "hidden": (16,)}
FORMS = {
    "graph": ("elcorec_graph", GRAPH),
    "towers": ("elcorec", TOWERS),
    "cosine": ("elcorec_graph", {**GRAPH, "head": "cosine"}),
}


def clicks(number: int = 1500, seed: int = 0) -> Dataset:
    """Ratings in time. Half of the users like noir and half comedies, as their histories say; all like long films."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 20, number), rng.integers(0, 40, number)
    liked = ((users % 2) == (items % 2)) | (items % 3 == 0)
    events = pd.DataFrame(
        {
            "user": [f"u{user:02}" for user in users],
            "item": items,
            "rating": np.where(liked, rng.integers(4, 6, number), rng.integers(1, 4, number)),
            "timestamp": np.sort(rng.uniform(0, 1e7, number)),
        }
    )
    of_users = pd.DataFrame({"user": [f"u{user:02}" for user in range(20)], "age": rng.integers(18, 70, 20)})
    of_items = pd.DataFrame(
        {
            "item": range(40),
            "title": [f"{'night' if item % 2 else 'day'} number {item}" for item in range(40)],
            "genres": [f"{'noir' if item % 2 else 'comedy'}|{'short' if item % 3 else 'long'}" for item in range(40)],
            "year": 1960 + np.arange(40),
        }
    )
    return prepare(
        events,
        of_users,
        of_items,
        label_threshold=3,
        max_history=8,
        duplicates="keep",
        split={"name": "time", "valid": 0.1, "test": 0.2, "warm_up": 2},
    )


@pytest.fixture(scope="module")
def data() -> Dataset:
    return clicks()


def trained(data: Dataset, form: str, epochs: int | None = None, **hparams) -> zoo.Run:
    """By default as many epochs as it takes: towers start slower than a network over pairs."""
    epochs = epochs or (10 if form == "towers" else 6)
    settings = {"epochs": epochs, "batch_size": 64, "learning_rate": 0.01, "patience": None}
    name, usual = FORMS[form]
    return zoo.train(name, data, hparams={**usual, **hparams}, train=settings, progress=False)


@pytest.fixture(scope="module")
def runs(data):
    """One run of each form."""
    made: dict[str, zoo.Run] = {}

    def run(form: str) -> zoo.Run:
        if form not in made:
            made[form] = trained(data, form)
        return made[form]

    return run


def test_elcorec_is_towers_and_elcorec_graph_a_network_over_pairs(data):
    assert isinstance(zoo.build("elcorec", data.schema, **TOWERS), Towers)
    assert isinstance(zoo.build("elcorec_graph", data.schema, **GRAPH), Pairs)


@pytest.mark.parametrize(
    "form", ["graph", *(pytest.param(form, marks=pytest.mark.slow) for form in ("towers", "cosine"))]
)
def test_labels_of_0_and_1_are_learnt_as_clicks_and_asked_in_the_order_of_time(runs, form):
    assert list(runs(form).metrics) == ["ctr/test"]
    # Towers see a user and an item apart, and take far longer to learn which go together.
    least = 0.7 if form == "towers" else 0.9
    assert runs(form).metrics["ctr/test"]["metrics"]["auc"]["mean"] > least


@pytest.mark.slow
def test_without_labels_of_0_and_1_it_learns_to_rank(datasets):
    run = trained(datasets["text"], "towers", epochs=1)
    assert list(run.metrics) == ["full-ranking/test"]


@pytest.mark.slow
def test_users_never_seen_are_told_apart_by_what_they_did(data):
    """Only histories tell them apart, because they are the same user to the model."""
    model = trained(data, "graph", epochs=15, id_dropout=0.8).model
    query = data.queries(model.query_names, np.array([UNKNOWN, UNKNOWN]), *PARTS)
    night, day = (data.vocabularies["item"].index(range(start, 16, 2)) for start in (1, 0))
    query["history"], query["history_rating"] = np.stack([night, day]), np.full((2, 8), 0.4, np.float32)
    wanted = data.vocabularies["item"].index([23, 22])  # a noir and a comedy, both short
    scores = model.score(query, np.stack([wanted, wanted]))
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_format_says_what_the_trained_model_says(data, form, tmp_path):
    # After more epochs on so little data, scores are so large that float32 keeps no 1e-5 of their differences.
    bundle = export.export(trained(data, form, epochs=2), tmp_path / "bundle")
    assert {check["artefact"] for check in bundle.manifest["checks"]} == {"saved_model", "onnx", "tflite"}
    assert all(check["passed"] for check in bundle.manifest["checks"])


def test_the_graph_recommends_over_the_catalogue_as_it_scores(runs, data):
    model = runs("graph").model
    query = data.queries(model.query_names, np.arange(2, 6), *PARTS)
    items, scores = model.recommend(query, k=5)
    every = np.tile(np.arange(FIRST_KNOWN, model.num_items), (4, 1))
    best = -np.sort(-model.score(query, every))[:, :5]
    np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.score(query, items), scores, rtol=1e-4, atol=1e-5)


def test_the_original_head_is_a_cosine_and_the_scaled_one_is_free(data):
    rng = np.random.default_rng(0)
    rows = data.part("test")
    for head, is_bounded in (("cosine", True), ("scaled", False)):
        model = zoo.build("elcorec_graph", data.schema, **{**GRAPH, "head": head})
        model.adapt(items=data.items)
        for weight in model.trainable_weights:
            weight.assign(3 * rng.normal(size=weight.shape))
        scores = model.score(data.queries_before(model.query_names, rows), rows["item"].to_numpy())
        assert (np.abs(scores) <= 1 + 1e-5).all() == is_bounded
    # The least log loss of a probability that is the sigmoid of a cosine.
    assert np.log1p(np.exp(-1)) == pytest.approx(0.313, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["graph", "towers"])
def test_without_rounds_nothing_propagates_and_it_still_learns(data, form):
    run = trained(data, form, rounds=0)
    assert run.metrics["ctr/test"]["metrics"]["auc"]["mean"] > 0.7
    names = [layer.name for layer in flatten_layers(run.model)]
    assert not [name for name in names if "items_to_user" in name or name.startswith("to_numeric")]


@pytest.mark.parametrize("kind", ["ids", "features", "text"])
def test_the_graph_is_made_of_any_schema(datasets, kind):
    model = zoo.build("elcorec_graph", datasets[kind].schema, **GRAPH)
    model.adapt(items=datasets[kind].items)
    query = datasets[kind].queries(model.query_names, np.array([0, UNKNOWN, 2]), "train")
    assert np.isfinite(model.recommend(query, k=3)[1]).all()


def test_a_history_longer_than_what_is_read_is_cut_to_its_last_events(data):
    short = zoo.build("elcorec_graph", data.schema, **{**GRAPH, "recent": 3})
    assert [part.shape[1] for part in short.query_network.outputs if len(part.shape) > 1 and part.shape[1] == 3]
    longer = zoo.build("elcorec_graph", data.schema, **{**GRAPH, "recent": 50})
    query = data.queries(longer.query_names, np.array([2]), *PARTS)
    assert np.isfinite(longer.score(query, np.array([3]))).all()


# Mistakes


@pytest.mark.parametrize(
    ("name", "hparams", "message"),
    [
        ("elcorec_graph", {"head": "cosin"}, "Did you mean 'cosine'"),
        ("elcorec_graph", {"feature": "genre"}, "There are: genres"),
        ("elcorec_graph", {"rounds": 1}, "rounds=2"),
        ("elcorec", {"recent": 0}, "recent must be at least 1"),
    ],
)
def test_a_mistake_in_hparams_is_named(data, name, hparams, message):
    with pytest.raises(UserError, match=message):
        zoo.build(name, data.schema, **hparams)


@pytest.mark.parametrize("name", ["propagation", "heads", "units", "feature", "self_loops", "head"])
def test_an_hparam_that_elcorec_had_once_is_an_error_that_names_elcorec_graph(data, name):
    with pytest.raises(UserError, match=f"'elcorec' has no hparam '{name}' any more.* architecture 'elcorec_graph'"):
        zoo.build("elcorec", data.schema, **{name: "graph"})


@pytest.mark.parametrize("missing", ["some", pytest.param("all", marks=pytest.mark.slow)])
def test_texts_may_be_missing(missing):
    events = pd.DataFrame({"user": [1, 1, 2, 2] * 5, "item": range(20), "label": [1, 0] * 10})
    texts = ["a long story of a dog and a cat", "", None, "what a day it was for all"] * 5
    items = pd.DataFrame({"item": range(20), "plot": texts if missing == "some" else [""] * 20})
    data = prepare(events, None, items, features={"plot": "text"}, split={"name": "random", "valid": 0, "test": 0.2})
    run = trained(data, "graph", epochs=1)
    assert np.isfinite(run.metrics["labels/test"]["metrics"]["log_loss"]["mean"])


def with_prices(prices: list[float]) -> Dataset:
    events = pd.DataFrame({"user": [1, 2] * 6, "item": [*range(6), *range(6)], "label": [1, 0, 1] * 4})
    items = pd.DataFrame({"item": range(6), "price": prices})
    split = {"name": "random", "valid": 0, "test": 0.2}
    return prepare(events, None, items, features={"price": "numeric"}, duplicates="keep", split=split)


def test_a_number_may_be_the_same_for_all():
    data = with_prices([7.0] * 6)
    assert not data.items["price"].any()
    run = trained(data, "graph", epochs=1)
    assert np.isfinite(run.metrics["labels/test"]["metrics"]["log_loss"]["mean"])


@pytest.mark.parametrize("infinity", [float("inf"), float("-inf")])
def test_an_infinite_number_is_refused_with_its_place(infinity):
    with pytest.raises(UserError, match=r"row .*'price'.*expected a number.*inf"):
        with_prices([1.0, 2.0, infinity, 4.0, 5.0, 6.0])


def test_a_category_never_seen_in_training_is_unknown_and_scored(runs, data):
    model = runs("graph").model
    model.adapt(items={**data.items, "genres": np.full_like(data.items["genres"], UNKNOWN)})
    query = data.queries(model.query_names, np.array([2]), *PARTS)
    assert np.isfinite(model.score(query, np.array([[3, 4]]))).all()
