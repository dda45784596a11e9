"""Candidates that are drawn for users, where the data lists none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import zoo
from zoo.comparison import compare
from zoo.config import NegativesConfig, make_config
from zoo.data import prepare
from zoo.errors import UserError
from zoo.evaluation import negatives
from zoo.evaluation.negatives import draw_candidates
from zoo.evaluation.protocols import PROTOCOLS, evaluate
from zoo.evaluation.ranking import items_to_find
from zoo.run import Run
from zoo.schema import FIRST_KNOWN, PADDING
from zoo.training.fitting import interaction_matrix

SAMPLED = PROTOCOLS["sampled-ranking"]
BOTH = st.sampled_from(["uniform", "popularity"])
PART = st.sampled_from(["valid", "test"])


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


def seen_of(data, user):
    rows = data.interactions
    return set(rows.loc[rows["user"] == user, "item"])


@settings(max_examples=30, deadline=None)
@given(by=BOTH, part=PART, number=st.integers(1, 29), seed=st.integers(0, 2**31 - 1))
def test_candidates_are_distinct_known_items_that_their_user_has_in_no_part(small, by, part, number, seed):
    drawn = draw_candidates(small, part, NegativesConfig(number=number, by=by, seed=seed))
    users = set(small.part(part)["user"])
    for user, row in enumerate(drawn):
        items = row[row != PADDING].tolist()
        unseen = set(range(FIRST_KNOWN, small.num_items)) - seen_of(small, user)
        assert len(set(items)) == len(items) == (min(number, len(unseen)) if user in users else 0)
        assert set(items) <= unseen


@settings(max_examples=10, deadline=None)
@given(by=BOTH, seed=st.integers(0, 1000))
def test_a_draw_depends_on_the_seed_and_the_user_only(small, by, seed):
    asked = NegativesConfig(number=5, by=by, seed=seed)
    drawn = draw_candidates(small, "test", asked)
    np.testing.assert_array_equal(draw_candidates(small, "test", asked), drawn)
    assert (draw_candidates(small, "test", NegativesConfig(number=5, by=by, seed=seed + 1)) != drawn).any()
    # Fewer users in the part change nothing for the others.
    user = small.part("test")["user"].iloc[0]
    rows = small.interactions
    alone = dataclasses.replace(small, interactions=rows[(rows["part"] != "test") | (rows["user"] == user)])
    assert seen_of(alone, user) == seen_of(small, user)
    np.testing.assert_array_equal(draw_candidates(alone, "test", asked)[user], drawn[user])


@pytest.mark.parametrize("rounds", [negatives._ROUNDS, 0])
def test_popular_items_are_drawn_as_often_as_training_has_them(small, monkeypatch, rounds):
    """By rejection and, without any round of it, by keys."""
    monkeypatch.setattr(negatives, "_ROUNDS", rounds)
    masses = np.maximum(small.popularity[FIRST_KNOWN:], 1)
    seen = np.array([0, 3, 11])
    draw = negatives._by_popularity(small)
    random = np.random.default_rng(0)
    counts = np.bincount([draw(random, seen, 1)[0] for _ in range(4000)], minlength=len(masses))
    assert (counts[seen] == 0).all()
    unseen = np.setdiff1d(np.arange(len(masses)), seen)
    expected = masses[unseen] / masses[unseen].sum() * counts.sum()
    assert chisquare(counts[unseen], expected).pvalue > 0.001


def test_uniform_candidates_are_drawn_alike(small):
    draw = negatives._uniform(small)
    random = np.random.default_rng(0)
    seen = np.array([0, 1, 29])
    counts = np.bincount(np.concatenate([draw(random, seen, 2) for _ in range(2000)]), minlength=30)
    assert (counts[seen] == 0).all()
    assert chisquare(np.delete(counts, seen)).pvalue > 0.001


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_the_figures_are_those_of_the_rank_among_the_candidates(small, by):
    model = zoo.build("popularity", small.schema)
    model.solver(interaction_matrix(small))
    asked = NegativesConfig(number=7, by=by, seed=3)
    evaluation = evaluate(model, small, "sampled-ranking", ks=(3,), resamples=20, negatives=asked)
    candidates, counts = draw_candidates(small, "test", asked), small.popularity
    users, rows, items = items_to_find(small, "test")
    assert evaluation.users.tolist() == users.tolist()
    for place, user in enumerate(users):
        found = items[rows == place].tolist()
        # Behind all candidates of the same score.
        keys = [(-counts[item], 0, number) for number, item in enumerate(candidates[user])]
        keys += [(-counts[item], 1, number) for number, item in enumerate(found)]
        hit = any(is_found for _, is_found, _ in sorted(keys)[:3])
        assert evaluation.per_user["hr@3"][place] == hit


@pytest.mark.parametrize("part", ["valid", "test"])
def test_every_model_is_asked_about_the_same_candidates(small, part):
    asked = NegativesConfig(number=6)
    listed = dataclasses.replace(small, candidates={part: draw_candidates(small, part, asked)})
    for name in ("mf", "popularity"):
        model = zoo.build(name, small.schema, **zoo.info(name).tiny)
        ours = evaluate(model, small, "sampled-ranking", part, ks=(3,), resamples=10, negatives=asked)
        theirs = evaluate(model, listed, "sampled-ranking", part, ks=(3,), resamples=10)
        np.testing.assert_array_equal(ours.per_user["ndcg@3"], theirs.per_user["ndcg@3"])
        assert "listed in the data" in theirs.about


def test_the_sentence_says_how_many_were_drawn_how_and_by_which_seed(small):
    model = zoo.build("mf", small.schema, embedding_dim=4)
    asked = NegativesConfig(number=9, by="popularity", seed=4)
    about = evaluate(model, small, "sampled-ranking", ks=(3,), resamples=10, negatives=asked).about
    assert (
        "against 9 candidates drawn by popularity in the training part (seed 4) from the items that the user" in about
    )
    uniform = SAMPLED.prepared(small, "test", NegativesConfig(number=9))
    assert "drawn uniformly (seed 0)" in SAMPLED.about(np.array([3]), uniform, "test")
    assert "have fewer" not in about


def test_users_who_have_seen_nearly_all_items_get_what_is_left(small):
    asked = SAMPLED.prepared(small, "test", NegativesConfig(number=25))
    users = np.unique(small.part("test")["user"])
    drawn = asked.candidates["test"][users]
    fewer = sum(30 - len(seen_of(small, user)) < 25 for user in users)
    assert (drawn == PADDING).any(axis=1).sum() == fewer > 0
    assert f"({fewer} users have fewer, because they have seen nearly all items)" in SAMPLED.about(users, asked, "test")


def test_more_than_the_catalogue_has_is_an_error(small):
    with pytest.raises(UserError, match=r"evaluate\.negatives\.number is 30, and the catalogue has only 30 items"):
        draw_candidates(small, "test", NegativesConfig(number=30))


def test_cuts_below_the_last_candidate_are_an_error(small):
    model = zoo.build("mf", small.schema, embedding_dim=4)
    with pytest.raises(UserError, match=r"evaluate\.ks has 8, and only 5 candidates are ranked"):
        evaluate(model, small, "sampled-ranking", ks=(8,), negatives=NegativesConfig(number=5))


def test_candidates_that_the_data_lists_are_kept(small):
    listed = dataclasses.replace(small, candidates={"test": np.full((small.num_users, 2), 5, np.int32)})
    assert SAMPLED.prepared(listed, "test", NegativesConfig(number=9)) is listed
    assert SAMPLED.prepared(listed, "valid", NegativesConfig(number=9)).candidates["test"] is listed.candidates["test"]


def test_early_stopping_can_watch_drawn_candidates(small):
    run = zoo.train(
        "mf",
        small,
        progress=False,
        hparams={"embedding_dim": 4},
        train={"epochs": 2},
        evaluate={"protocol": "sampled-ranking", "negatives": {"number": 8}, "ks": [3], "resamples": 10},
    )
    assert set(run.metrics) == {"sampled-ranking/test"}
    assert all(0 <= epoch["ndcg@3"] <= 1 for epoch in run.history)
    assert zoo.evaluate(run, "sampled-ranking", negatives={"number": 4}).about.count("4 candidates drawn") == 1
    with pytest.raises(UserError, match=r"Unknown setting in 'evaluate\.negatives' 'numbr'"):
        run.evaluate(negatives={"numbr": 4})


def test_a_user_with_one_event_is_drawn_for_like_any_other():
    rows = [("a", "x", "train"), ("a", "y", "train"), ("b", "z", "test"), ("a", "w", "train")]
    data = prepare(pd.DataFrame(rows, columns=["user", "item", "split"]))
    drawn = draw_candidates(data, "test", NegativesConfig(number=3))
    (user,) = data.vocabularies["user"].index(["b"])
    assert set(data.vocabularies["item"].lookup(drawn[user])) == {"w", "x", "y"}


def test_runs_are_compared_on_the_same_candidates(small):
    asked = NegativesConfig(number=6, seed=2)
    settings = {"evaluate": {"negatives": asked.model_dump(), "ks": [3]}, "hparams": {"embedding_dim": 4}}
    runs = [Run(zoo.build("mf", small.schema, embedding_dim=4), small, make_config("mf", settings), []) for _ in "ab"]
    comparison = compare(runs, "sampled-ranking", resamples=20)
    assert "6 candidates drawn uniformly (seed 2)" in comparison.about
    expected = [evaluate(run.model, small, "sampled-ranking", ks=(3,), negatives=asked).metrics["hr@3"] for run in runs]
    assert [figure.mean for figure in comparison.metrics["hr@3"]] == [figure.mean for figure in expected]
