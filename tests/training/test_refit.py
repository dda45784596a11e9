"""Training anew on train and valid, once valid has told the best epoch."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.data import prepare
from zoo.errors import UserError
from zoo.training.checkpoints import CHECKPOINT, REFIT_CHECKPOINT
from zoo.training.refit import with_valid_in_train

SETTINGS = {"hparams": {"embedding_dim": 4}, "evaluate": {"resamples": 20, "ks": [5]}}
REFIT = {**SETTINGS, "split": {"refit": True}, "train": {"epochs": 4, "batch_size": 32, "learning_rate": 0.02}}


class Killed(Exception):  # noqa: N818
    """What ends training in these tests."""


class KillInRefit(keras.callbacks.Callback):
    """Ends the second training after its first epoch is in a checkpoint."""

    def __init__(self):
        super().__init__()
        self._trainings = 0

    def on_train_begin(self, logs=None):
        self._trainings += 1

    def on_epoch_begin(self, epoch, logs=None):
        if self._trainings == 2 and epoch == 1:
            raise Killed


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


@pytest.fixture(scope="module")
def refitted(small):
    return zoo.train("mf", small, progress=False, **REFIT)


def assert_same_weights(run, other):
    for weight, expected in zip(run.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_the_model_is_that_of_as_many_epochs_on_both_parts(small, refitted):
    chosen = [epoch for epoch in refitted.history if "refit" not in epoch]
    best = int(np.argmax([epoch["ndcg@5"] for epoch in chosen])) + 1
    assert len(refitted.history) == len(chosen) + best
    both = zoo.train(
        "mf",
        with_valid_in_train(small),
        progress=False,
        **{**SETTINGS, "train": {**REFIT["train"], "epochs": best, "patience": None}},
    )
    assert_same_weights(refitted, both)
    assert refitted.metrics["full-ranking/test"]["metrics"] == both.metrics["full-ranking/test"]["metrics"]


def test_the_run_says_so_and_has_no_validation_part_any_more(small, refitted):
    (note,) = (note for note in refitted.dataset.notes if note.startswith("Refit: "))
    assert "was the best on the valid part (ndcg@5 0." in note
    assert "trained anew on train and valid" in note
    assert not any("Refit" in note for note in small.notes)
    with pytest.raises(UserError, match="The valid part of small is empty"):
        refitted.evaluate(part="valid")


def test_validation_interactions_become_training_interactions_and_nothing_else_changes(small):
    merged = with_valid_in_train(small)
    pd.testing.assert_frame_equal(merged.part("test"), small.part("test"))
    pd.testing.assert_frame_equal(
        merged.part("train").drop(columns="part"), small.part("train", "valid").drop(columns="part")
    )


def test_queries_of_users_held_out_for_validation_are_trained_on_too():
    parts = [("a", "train"), ("b", "query"), ("b", "valid"), ("c", "query"), ("c", "test"), ("a", "valid")]
    rows = pd.DataFrame(parts, columns=["user", "split"]).assign(item=range(6))
    merged = with_valid_in_train(prepare(rows))
    users = merged.vocabularies["user"].lookup(merged.interactions["user"].to_numpy())
    assert list(zip(users, merged.interactions["part"], strict=True)) == [
        ("a", "train"),
        ("b", "train"),
        ("b", "train"),
        ("c", "query"),
        ("c", "test"),
        ("a", "train"),
    ]


def test_a_closed_form_is_solved_on_both_parts(small):
    run = zoo.train("popularity", small, progress=False, split={"refit": True}, evaluate={"resamples": 20})
    both = zoo.train("popularity", with_valid_in_train(small), progress=False, evaluate={"resamples": 20})
    assert_same_weights(run, both)
    assert "Refit: solved on train and valid (split.refit)." in run.dataset.notes


def test_an_interrupted_refit_is_taken_up_where_it_was(small, refitted, tmp_path):
    assert len([epoch for epoch in refitted.history if "refit" in epoch]) >= 2
    with pytest.raises(Killed):
        zoo.train("mf", small, out=tmp_path / "run", progress=False, callbacks=[KillInRefit()], **REFIT)
    assert {CHECKPOINT, REFIT_CHECKPOINT} <= {path.name for path in (tmp_path / ".run-unfinished").iterdir()}
    resumed = zoo.train("mf", small, out=tmp_path / "run", progress=False, resume=True, **REFIT)
    assert_same_weights(resumed, refitted)
    assert resumed.metrics == refitted.metrics
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not list((tmp_path / "run").glob("*checkpoint*"))
    assert_same_weights(zoo.load(tmp_path / "run"), refitted)


def test_a_refit_without_a_validation_part_is_an_error(small):
    rows = small.interactions
    without = dataclasses.replace(small, interactions=rows[rows["part"] != "valid"])
    with pytest.raises(UserError, match=r"split\.refit=true adds the validation part to training, and small has none"):
        zoo.train("mf", without, progress=False, **REFIT)


def test_only_the_refit_can_be_asked_of_a_prepared_dataset(small):
    with pytest.raises(UserError, match=r"no effect on a dataset that is prepared already, except split\.refit"):
        zoo.train("mf", small, progress=False, split={"name": "time", "refit": True})
