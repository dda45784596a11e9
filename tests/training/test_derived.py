"""What presets leave to the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.config import make_config, said
from zoo.data import prepare
from zoo.errors import UserError
from zoo.evaluation import samples
from zoo.evaluation.protocols import PROTOCOLS
from zoo.objectives import OBJECTIVES
from zoo.training.derived import fit_batch_size, fit_to_catalogue, validated_users, with_derived_history

FIVE_ROWS = pd.DataFrame(
    {
        "user": ["ann", "ann", "ann", "bob", "bob"],
        "item": ["pen", "cup", "hat", "pen", "jar"],
        "timestamp": [1, 2, 3, 1, 2],
        "split": ["train", "train", "test", "train", "train"],
    }
)


@pytest.fixture
def without_graphs():
    """Functions run operation by operation, which takes less time for five rows than to compile them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def cases() -> list:
    """Every architecture; all but the first of each objective and of those that are solved are slow."""
    found, learnt = [], set()
    for name in zoo.list_models():
        objective = zoo.info(name).objective
        found.append(pytest.param(name, marks=pytest.mark.slow if objective in learnt else ()))
        learnt.add(objective)
    return found


@pytest.mark.parametrize("name", cases())
def test_five_rows_are_enough_to_try_an_architecture(name, without_graphs):
    course = {"epochs": 1} if zoo.info(name).objective else {}
    run = zoo.train(name, FIVE_ROWS, progress=False, train=course, evaluate={"resamples": 10})
    assert run.config.evaluate.ks == (4,)
    assert any(
        note.startswith("evaluate.ks is [4], because the catalogue has only 4 items") for note in run.dataset.notes
    )
    assert len(run.recommend(["ann"], k=1)) == 1


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


# Settings that somebody gave


def test_settings_of_a_preset_are_not_said_and_those_of_a_file_and_a_caller_are(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: mf\ntrain: {epochs: 3}\n")
    assert said("mf") == frozenset()
    assert said(str(path), {"evaluate": {"ks": [3]}}) == {"train.epochs", "evaluate.ks"}
    assert "train.options.negatives" in said("mf", {"train": {"options": {"negatives": 8}}})


# Batches


@pytest.mark.parametrize(
    ("examples", "usual", "size"),
    [
        (700_000, 1024, 1024),
        (2_048_000, 1024, 1024),
        (2_048_001, 1024, 2048),
        (14_000_000, 1024, 8192),
        (6000, 64, 64),
        (500_000, 64, 256),
        (1000, 1024, 64),
        (4, 1024, 16),
        (4, 24, 24),
    ],
)
def test_batches_grow_and_shrink_with_the_number_of_examples(examples, usual, size):
    config = make_config("mf", {"train": {"batch_size": usual}})
    notes = fit_batch_size(config, (), examples)
    assert config.train.batch_size == size
    assert [note.split(":")[0] for note in notes] == (
        [] if size == usual else [f"Batches have {size} examples instead of {usual}"]
    )


@pytest.mark.parametrize(
    ("events", "examples", "size"),
    [(30.0, 10_000, 128), (131.0, 10_000, 32), (1000.0, 10_000, 16), (131.0, 1_000_000, 512), (131.0, 200, 16)],
)
def test_a_step_has_not_too_many_events_of_windows(events, examples, size):
    config = make_config("sasrec")
    assert config.train.batch_size == 128
    fit_batch_size(config, (), examples, events)
    assert config.train.batch_size == size


def test_a_batch_size_that_was_given_stays():
    config = make_config("mf", {"train": {"batch_size": 1024}})
    assert fit_batch_size(config, {"train.batch_size"}, 10) == []
    assert config.train.batch_size == 1024


# What the catalogue has


@pytest.mark.parametrize(
    ("objective", "most"),
    [
        ("gbce", {"negatives": 11}),
        ("sampled_softmax", {"negatives": 12}),
        ("next_item_sampled", {"negatives": 12}),
        ("next_item_gbce", {"negatives": 11, "shared": 12}),
    ],
)
def test_more_negatives_than_items_are_clipped_unless_they_were_given(objective, most):
    config = make_config("mf")
    notes = fit_to_catalogue(config, (), objective, num_items=14)
    assert config.train.options == most
    for name, value in most.items():
        assert f"train.options.{name} is {value}, because the catalogue has only 12 items." in notes
    given = make_config("mf", {"train": {"options": {"negatives": 300}}})
    fit_to_catalogue(given, {"train.options.negatives"}, objective, num_items=14)
    assert given.train.options["negatives"] == 300


@pytest.mark.parametrize("said", [(), ("train.objective",)])
@pytest.mark.parametrize(("items", "objective"), [(10_000, None), (10_001, "next_item_sampled")])
def test_a_softmax_over_a_large_catalogue_is_sampled_unless_the_objective_was_given(items, objective, said):
    config = make_config("sasrec")
    notes = fit_to_catalogue(config, said, "next_item", num_items=items + 2)
    assert config.train.objective == (None if said else objective)
    assert notes == [
        "train.objective is next_item_sampled instead of next_item, because the catalogue has 10,001 items, more than "
        "10,000."
    ] * bool(config.train.objective)


def test_what_stands_in_for_an_objective_is_registered():
    assert all(not kind.sampled or kind.sampled in OBJECTIVES for kind in OBJECTIVES.values())


def test_every_limit_is_of_an_option_that_the_objective_has():
    for kind in OBJECTIVES.values():
        assert all(name in kind.__init__.__annotations__ for name in kind.most_items(9))


def test_options_that_fit_and_cuts_that_were_given_stay(small):
    config = make_config("mf")
    assert fit_to_catalogue(config, (), "pointwise", num_items=500) == []
    assert config.train.options == {}
    with pytest.raises(UserError, match=r"evaluate\.ks has 50, and the catalogue has only 30 items"):
        zoo.train("mf", small, progress=False, train={"epochs": 1}, evaluate={"ks": [50]})


# Histories


def frame_of(counts):
    users = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    return pd.DataFrame({"user": users, "item": places, "timestamp": places})


def test_histories_have_nearly_all_interactions():
    data = prepare(frame_of([12] * 1000 + [120]))
    shorter = with_derived_history(data)
    assert (data.schema["history"].length, shorter.schema["history"].length) == (120, 12)
    assert shorter.notes[-1] == "Histories have the last 12 interactions, which are 99% of all (data.max_history)."
    assert not any("Histories" in note for note in data.notes)
    few = prepare(frame_of([3] * 1000 + [20]))
    assert with_derived_history(few).schema["history"].length == 10
    whole = prepare(frame_of([40] * 20))
    assert with_derived_history(whole) is whole


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_the_derived_length_is_the_least_that_has_99_of_100_interactions(counts):
    length = (
        with_derived_history(prepare(frame_of(counts), split={"name": "random", "valid": 0, "test": 0}))
        .schema["history"]
        .length
    )
    read = [np.minimum(counts, one).sum() >= 0.99 * sum(counts) for one in range(1, 61)]
    assert length == min(max(counts), max(10, read.index(True) + 1))


def test_histories_that_were_bounded_say_what_they_have():
    many = with_derived_history(prepare(frame_of([300] * 5)))
    assert many.schema["history"].length == 200
    said = "Histories have the last 200 interactions, which are 67% of all; data.max_history=null keeps them whole."
    assert many.notes[-1] == said


@pytest.mark.parametrize(("data_settings", "length"), [({}, 117), ({"data": {"max_history": 50}}, 50)])
def test_a_length_that_was_given_stays(data_settings, length):
    run = zoo.train(
        "two_tower",
        frame_of([3] * 38 + [90, 120]),
        progress=False,
        hparams=dict(zoo.info("two_tower").tiny),
        train={"epochs": 1},
        evaluate={"resamples": 10},
        **data_settings,
    )
    assert run.dataset.schema["history"].length == length


def test_a_file_that_says_how_long_histories_are_is_heeded(tmp_path):
    frame_of([3] * 38 + [60]).to_csv(tmp_path / "events.csv", index=False)
    (tmp_path / "shop.yaml").write_text("interactions: events.csv\nmax_history: 40\n")
    run = zoo.train(
        "two_tower",
        tmp_path / "shop.yaml",
        progress=False,
        hparams=dict(zoo.info("two_tower").tiny),
        train={"epochs": 1},
        evaluate={"resamples": 10},
    )
    assert run.dataset.schema["history"].length == 40


# Validation


def test_early_stopping_watches_a_sample_where_users_are_many(small, monkeypatch):
    monkeypatch.setattr(samples, "FEWEST_USERS", 4)
    monkeypatch.setattr(samples, "SCORES", 1)
    asked = []
    ranking = PROTOCOLS["full-ranking"]
    validate = type(ranking).validate
    monkeypatch.setattr(
        type(ranking),
        "validate",
        lambda self, model, data, ks: asked.append(data) or validate(self, model, data, ks),
    )
    run = zoo.train("mf", small, progress=False, hparams={"embedding_dim": 4}, train={"epochs": 1})
    assert [data.part("valid")["user"].nunique() for data in asked] == [4]
    assert any("Early stopping watches 4 users" in note for note in run.dataset.notes)
    assert run.dataset.part("valid")["user"].nunique() > 4


def test_few_users_are_all_watched(small, datasets):
    model = zoo.build("mf", small.schema, embedding_dim=4)
    assert validated_users(small, PROTOCOLS["full-ranking"], model, 0) == (small, [])
    assert validated_users(small, PROTOCOLS["labels"], model, 0) == (small, [])


def test_pair_networks_are_asked_about_fewer_users():
    assert samples.users_that_fit(10_000) == 100_000
    assert samples.users_that_fit(10_000, of_pairs=True) == 5000


# Bad input


def test_everything_in_one_part_trains_and_has_no_figures():
    run = zoo.train("mf", FIVE_ROWS.assign(split="train"), progress=False, train={"epochs": 1})
    assert run.metrics == {}
    with pytest.raises(UserError, match="leaves nothing to train on"):
        zoo.train("mf", FIVE_ROWS.assign(split="test"), progress=False)


def test_a_user_with_one_event_stays_in_training():
    rows = pd.concat([FIVE_ROWS, FIVE_ROWS.head(1).assign(user="eve")]).drop(columns="split")
    run = zoo.train("mf", rows, progress=False, split={"name": "leave-last-out"}, train={"epochs": 1})
    assert "1 users with one interaction have it in train" in run.dataset.notes[0]
    assert len(run.recommend(["eve"], k=2)) == 2
