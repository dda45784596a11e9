"""Strong generalization: held-out users are known only by the items that are not to be found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.data import prepare
from zoo.data.splits import split
from zoo.errors import UserError

pairs = st.lists(st.tuples(st.integers(2, 12), st.integers(2, 9)), min_size=5, max_size=80)
shares = st.floats(0, 0.4)


def frame_of(pairs: list[tuple[int, int]]) -> pd.DataFrame:
    """Interactions that may repeat, and those of two users who cannot be held out."""
    return pd.DataFrame([*pairs, (100, 2), (101, 2)], columns=["user", "item"])


def parted_of(pairs, **options):
    parted, _ = split(frame_of(pairs), "strong-generalization", **options)
    return parted


@settings(max_examples=50, deadline=None)
@given(pairs=pairs, valid=shares, test=shares, holdout=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_users_are_of_one_part_and_items_either_known_or_to_be_found(pairs, valid, test, holdout, seed):
    parted = parted_of(pairs, valid=valid, test=test, holdout=holdout, seed=seed)
    for _, events in parted.groupby("user"):
        assert set(events["part"]) in ({"train"}, {"query", "valid"}, {"query", "test"})
        # However often the user met an item, it is in one part.
        assert (events.groupby("item")["part"].nunique() == 1).all()


@settings(max_examples=50, deadline=None)
@given(pairs=pairs, valid=shares, test=shares, holdout=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_as_many_users_and_items_are_held_out_as_asked_for(pairs, valid, test, holdout, seed):
    parted = parted_of(pairs, valid=valid, test=test, holdout=holdout, seed=seed)
    items = parted.drop_duplicates(["user", "item"]).groupby("user")["part"].value_counts().unstack(fill_value=0)
    eligible = int((items.sum(axis=1) > 1).sum())
    wanted = {"test": round(len(items) * test), "valid": round(len(items) * valid)}
    for part, left in (("test", eligible), ("valid", max(eligible - wanted["test"], 0))):
        held = items[items[part] > 0] if part in items else items[:0]
        assert len(held) == min(wanted[part], left)
        total = held.sum(axis=1)
        expected = (total * holdout).round().clip(lower=1, upper=total - 1)
        if len(held):
            assert (held[part] == expected).all()


@settings(max_examples=25, deadline=None)
@given(pairs=pairs, seed=st.integers(0, 9))
def test_a_seed_gives_the_same_parts_again(pairs, seed):
    first, second = (parted_of(pairs, valid=0.3, test=0.3, seed=seed)["part"] for _ in range(2))
    assert first.tolist() == second.tolist()


def test_another_seed_gives_other_users_and_items():
    frame = [(user, item) for user in range(20) for item in range(10)]
    first, second = (parted_of(frame, valid=0, test=0.5, seed=seed)["part"].tolist() for seed in (0, 1))
    assert first != second


def test_the_items_to_find_are_drawn_whatever_their_time():
    frame = frame_of([(user, item) for user in range(50) for item in range(10)])
    parted, note = split(frame.assign(timestamp=np.arange(len(frame))), "strong-generalization", test=0.8, holdout=0.5)
    late = parted[parted["part"] == "test"]["item"] >= 5
    assert 0.3 < late.mean() < 0.7
    assert "5 users held out for valid, 42 for test; random 50% of their items to be found" in note


@pytest.mark.parametrize("holdout", [0.0, 1.0, -0.1])
def test_a_share_that_leaves_nothing_to_know_or_to_find_is_refused(holdout):
    with pytest.raises(UserError, match=r"Expected holdout between 0 and 1"):
        parted_of([(2, 2)], holdout=holdout)


@pytest.mark.parametrize("name", ["ease", "ials", "itemknn", "multvae"])
def test_models_answer_held_out_users_by_their_histories(name):
    rng = np.random.default_rng(0)
    # Users of one half like items of one half.
    rows = [(user, item + 10 * (user % 2)) for user in range(60) for item in rng.permutation(10)[:6]]
    frame = pd.DataFrame(rows, columns=["user", "item"])
    data = prepare(frame, split={"name": "strong-generalization", "valid": 0, "test": 0.3})
    train = {} if zoo.info(name).solver else {"epochs": 20, "batch_size": 8, "learning_rate": 0.02}
    hparams, evaluate = dict(zoo.info(name).tiny), {"ks": [5], "resamples": 10}
    run = zoo.train(name, data, hparams=hparams, train=train, evaluate=evaluate, progress=False)
    # Of the right half a user has five items left, and one of them is to be found.
    assert run.evaluate().metrics["recall@5"].mean > 0.9
