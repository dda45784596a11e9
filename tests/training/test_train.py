from __future__ import annotations

import dataclasses
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import zoo
from zoo.data import prepare
from zoo.errors import UserError, ZooError
from zoo.training.fitting import interaction_matrix

SMALL = {"hparams": {"embedding_dim": 4}, "evaluate": {"resamples": 20}}
# Dropout, and an optimizer with a memory: there is more to resume than the weights.
TINY_AUTOENCODER = {"hparams": {"hidden": 8, "dropout": 0.3}, "evaluate": {"resamples": 20}}


class Killed(Exception):  # noqa: N818
    """What ends training in these tests."""


class Kill(keras.callbacks.Callback):
    """Ends training in the middle, as a kill would."""

    def __init__(self, epoch=1, batch=1, at_end=False):
        super().__init__()
        self._at, self._epoch, self._at_end = (epoch, batch), -1, at_end

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == self._at and not self._at_end:
            raise Killed

    def on_train_end(self, logs=None):
        if self._at_end:
            raise Killed


def train(name, data, *, epochs=1, settings=SMALL, out=None, given=(), **train_settings):
    return zoo.train(
        name,
        data,
        out=out,
        progress=False,
        **dict(given),
        **{**settings, "train": {"epochs": epochs, "batch_size": 64, **train_settings}},
    )


def interrupted(name, data, out, kill, **settings):
    with pytest.raises(Killed):
        train(name, data, out=out, given={"callbacks": [kill]}, **settings)


def without_seconds(history):
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


def assert_same_weights(run, other):
    for weight, expected in zip(run.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def listing(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


# Repeating and resuming

COURSE = {"epochs": 3, "steps_per_execution": 1, "patience": None}
COURSES = {
    "mf": {"settings": SMALL, "batch_size": 24, **COURSE},
    "autoencoder": {"settings": TINY_AUTOENCODER, "batch_size": 12, **COURSE},
}
BOTH = pytest.mark.parametrize("name", COURSES)


@pytest.fixture(scope="module")
def uninterrupted(small):
    return {name: train(name, small, **course) for name, course in COURSES.items()}


@BOTH
def test_the_same_seed_gives_the_same_weights(small, uninterrupted, name):
    again = train(name, small, **COURSES[name])
    assert_same_weights(again, uninterrupted[name])
    assert without_seconds(again.history) == without_seconds(uninterrupted[name].history)
    assert again.metrics == uninterrupted[name].metrics


def test_another_seed_gives_other_weights(small, uninterrupted):
    other = train("mf", small, seed=1, **COURSES["mf"])
    assert (other.model.get_weights()[0] != uninterrupted["mf"].model.get_weights()[0]).any()


@BOTH
def test_an_interrupted_run_that_is_resumed_equals_the_uninterrupted_one(small, uninterrupted, tmp_path, name):
    interrupted(name, small, tmp_path / "run", Kill(epoch=1, batch=1), **COURSES[name])
    assert not (tmp_path / "run").exists()
    resumed = train(name, small, out=tmp_path / "run", given={"resume": True}, **COURSES[name])
    assert_same_weights(resumed, uninterrupted[name])
    assert without_seconds(resumed.history) == without_seconds(uninterrupted[name].history)
    assert resumed.metrics == uninterrupted[name].metrics
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert_same_weights(zoo.load(tmp_path / "run"), uninterrupted[name])


def test_a_run_killed_after_its_last_epoch_is_not_trained_again(small, uninterrupted, tmp_path):
    interrupted("mf", small, tmp_path / "run", Kill(at_end=True), **COURSES["mf"])
    begun = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    given = {"resume": True, "callbacks": [count]}
    resumed = train("mf", small, out=tmp_path / "run", given=given, **COURSES["mf"])
    assert begun == []
    assert_same_weights(resumed, uninterrupted["mf"])


def test_resuming_a_run_that_never_began_trains_from_the_start(small, tmp_path):
    run = train("mf", small, out=tmp_path / "run", given={"resume": True})
    assert len(run.history) == 1


def test_a_run_killed_before_it_was_prepared_begins_anew(small, uninterrupted, tmp_path):
    interrupted("mf", small, tmp_path / "run", Kill(batch=2), **COURSES["mf"])
    (unfinished,) = tmp_path.iterdir()
    (unfinished / "prepared.json").unlink()
    (unfinished / "checkpoint.npz").unlink()
    run = train("mf", small, out=tmp_path / "run", given={"resume": True}, **COURSES["mf"])
    assert_same_weights(run, uninterrupted["mf"])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_run_is_neither_lost_nor_mixed_up(small, tmp_path):
    interrupted("mf", small, tmp_path / "run", Kill(batch=2), epochs=3)
    before = listing(tmp_path)
    with pytest.raises(UserError, match=r"an interrupted run.*--resume to finish it or --overwrite"):
        train("mf", small, epochs=3, out=tmp_path / "run")
    with pytest.raises(UserError, match="has other settings"):
        train("mf", small, epochs=4, out=tmp_path / "run", given={"resume": True})
    assert listing(tmp_path) == before
    run = train("mf", small, epochs=1, out=tmp_path / "run", given={"overwrite": True})
    assert len(run.history) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_second_run_to_the_same_folder_leaves_the_first_as_it_is(small, tmp_path):
    left = []

    def begin_another(logs):
        with pytest.raises(UserError):
            train("mf", small, out=tmp_path / "run")
        left.extend(listing(tmp_path))

    other = keras.callbacks.LambdaCallback(on_train_begin=begin_another)
    train("mf", small, out=tmp_path / "run", given={"callbacks": [other]})
    assert ".run-unfinished/config.json" in left


# The folder of a run


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    return train("mf", small, epochs=2, out=tmp_path_factory.mktemp("runs") / "deep" / "run")


def test_a_run_folder_holds_all_of_it_and_no_checkpoint(trained):
    names = set(listing(trained.folder))
    assert {"run.json", "recipe.json", "weights.npz", "config.json", "metrics.json", "history.csv"} <= names
    assert not [name for name in names if "checkpoint" in name]
    assert [path.name for path in trained.folder.parent.iterdir()] == ["run"]
    assert len(pd.read_csv(trained.folder / "history.csv")) == 2
    assert json.loads((trained.folder / "recipe.json").read_text())["name"] == "mf"


def test_a_run_folder_holds_what_tensorboard_shows(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (trained.folder / "logs").rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file.parent), size_guidance={"tensors": 0}).Reload()
    shown = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("epoch_loss")]
    assert shown == pytest.approx([epoch["loss"] for epoch in trained.history])


def test_an_output_that_exists_stays_as_it_is(small, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        train("mf", small, out=tmp_path / "run")
    assert listing(tmp_path) == {"run/notes.txt": b"precious"}


def test_overwriting_replaces_a_run(small, trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("old")
    train("mf", small, out=tmp_path / "run", given={"overwrite": True})
    assert not (tmp_path / "run" / "notes.txt").exists()
    assert len(zoo.load(tmp_path / "run").history) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_overwriting_replaces_only_a_run(small, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match=r"has no run\.json, so it holds something else"):
        train("mf", small, out=tmp_path / "run", given={"overwrite": True})
    assert listing(tmp_path) == {"run/notes.txt": b"precious"}


def test_a_failing_run_leaves_no_output_and_keeps_a_former_one(small, trained, tmp_path):
    diverging = {"optimizer": "sgd", "learning_rate": 1e30, "epochs": 5}
    with pytest.raises(ZooError, match=r"not a finite number any more from step \d of epoch 1 on"):
        train("mf", small, out=tmp_path / "new", **diverging)
    assert not (tmp_path / "new").exists()
    shutil.copytree(trained.folder, tmp_path / "run")
    with pytest.raises(ZooError, match=r"not a finite number any more from step \d of epoch 1 on"):
        train("mf", small, out=tmp_path / "run", given={"overwrite": True}, **diverging)
    assert listing(tmp_path / "run") == listing(trained.folder)


@pytest.mark.parametrize("mistake", [{"objective": "pointwize"}, {"optimizer": "adma"}, {"options": {"x": 1}}])
def test_a_mistake_in_the_settings_writes_nothing(small, tmp_path, mistake):
    with pytest.raises(UserError):
        train("mf", small, out=tmp_path / "run", **mistake)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_the_data_writes_nothing(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv"):
        train("mf", tmp_path / "none.csv", out=tmp_path / "runs" / "run")
    assert list(tmp_path.iterdir()) == []


# Data


def test_data_may_be_a_frame_a_file_or_a_setting(tmp_path):
    frame = pd.DataFrame({"user": ["a", "a", "b", "b", "c"] * 4, "item": np.arange(20) % 7, "rating": 1})
    frame.to_csv(tmp_path / "events.csv", index=False)
    split = {"name": "random", "options": {"valid": 0, "test": 0.2}}
    settings = {"split": split, "evaluate": {"resamples": 20, "ks": [3]}}
    runs = [
        train("popularity", frame, settings=settings),
        train("popularity", tmp_path / "events.csv", settings=settings),
        train("popularity", None, settings={**settings, "data": {"source": str(tmp_path / "events.csv")}}),
    ]
    for run in runs[1:]:
        assert_same_weights(run, runs[0])
    assert runs[1].config.data.source == str(tmp_path / "events.csv")
    assert set(runs[0].dataset.interactions["part"]) == {"train", "test"}


def test_training_without_data_is_refused():
    with pytest.raises(UserError, match="No data is given"):
        train("mf", None)


@pytest.mark.parametrize("section", ["data", "split"])
def test_settings_of_the_data_have_no_place_beside_a_prepared_dataset(small, section):
    with pytest.raises(UserError, match="no effect on a dataset that is prepared already"):
        train("mf", small, settings={**SMALL, section: {}})


def test_options_of_a_split_need_its_name():
    frame = pd.DataFrame({"user": ["a", "b"], "item": [1, 2]})
    with pytest.raises(UserError, match=r"split\.options are given without split\.name"):
        train("mf", frame, settings={**SMALL, "split": {"options": {"test": 0.5}}})


def test_a_sequence_model_on_data_without_order_says_so(tmp_path):
    frame = pd.DataFrame({"user": ["a", "a", "b", "b"], "item": [1, 2, 1, 3]})
    with pytest.raises(UserError, match=r"'lstm' learns from the order of events.*no timestamps") as error:
        zoo.train("lstm", frame, out=tmp_path / "run", progress=False)
    assert "Add a timestamp column" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_sequence_model_trains_on_data_with_order(small):
    settings = {**SMALL, "hparams": {"embedding_dim": 4, "units": 4}}
    run = train("lstm", small, epochs=6, settings=settings, learning_rate=0.05)
    assert run.history[-1]["loss"] < run.history[0]["loss"]


# The course of training


def test_a_closed_form_has_a_time_and_no_epochs(small):
    run = train("popularity", small, settings={"evaluate": {"resamples": 20}})
    (solved,) = run.history
    assert list(solved) == ["seconds"]
    assert solved["seconds"] > 0
    assert run.metrics["full-ranking/test"]["metrics"]["recall@10"]["mean"] > 0


def test_the_interaction_matrix_holds_the_training_labels_above_0():
    frame = pd.DataFrame(
        {
            "user": ["a", "a", "b", "b", "b"],
            "item": ["x", "y", "x", "y", "z"],
            "rating": [2.0, 0.0, 4.0, 1.0, 3.0],
            "split": ["train", "train", "train", "train", "test"],
        }
    )
    data = prepare(frame)
    row, column = data.vocabularies["user"].index, data.vocabularies["item"].index
    matrix = interaction_matrix(data)
    expected = np.zeros((4, 5))
    expected[row(["a"])[0], column(["x"])[0]] = 2
    expected[row(["b"])[0], column(["x", "y"])] = [4, 1]
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.nnz == 3


@pytest.mark.parametrize(
    ("name", "threshold", "watched", "protocol"),
    [("mf", None, "rmse", "ratings"), ("mf", 3, "auc", "labels"), ("autoencoder", None, "rmse", "ratings")],
)
def test_explicit_feedback_is_judged_by_its_labels(small, name, threshold, watched, protocol):
    data = small
    if threshold is not None:
        labels = (small.interactions["label"] > threshold).astype(np.float32)
        data = dataclasses.replace(small, interactions=small.interactions.assign(label=labels))
    settings = SMALL if name == "mf" else TINY_AUTOENCODER
    run = train(name, data, settings=settings, options={"feedback": "explicit"})
    assert watched in run.history[0]
    assert list(run.metrics) == [f"{protocol}/test"]


def test_callbacks_of_the_user_are_called(small):
    losses = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    run = train("mf", small, epochs=2, given={"callbacks": [note]})
    assert losses == [epoch["loss"] for epoch in run.history]


def test_validation_metrics_are_in_the_history(small):
    run = train("mf", small, settings={**SMALL, "evaluate": {"resamples": 20, "ks": (5, 3)}})
    assert {"loss", "seconds", "ndcg@5", "ndcg@3", "recall@5"} <= set(run.history[0])


# Mistakes


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mff", {}, r"Unknown architecture 'mff'\. Did you mean 'mf' or 'gmf'\?"),
        ("mf", {"hparams": {"embeding_dim": 4}}, r"Unknown hparam of 'mf' 'embeding_dim'\. Did you mean"),
        ("mf", {"train": {"epoch": 4}}, r"Unknown setting in 'train' 'epoch'\. Did you mean 'epochs'\?"),
        ("mf", {"trian": {}}, r"Unknown setting 'trian'\. Did you mean 'train'\?"),
        ("mf", {"train": {"objective": "next_item"}}, "needs an architecture with positions"),
    ],
)
def test_a_typo_gives_the_near_names(small, name, settings, message):
    with pytest.raises(UserError, match=message):
        zoo.train(name, small, progress=False, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"evaluate": {"protocol": "full-rankng"}},
        {"evaluate": {"ks": ()}},
        {"train": {"epochs": 1, "monitor": "ndgc@10"}},
    ],
    ids=["protocol", "no ranks", "monitor"],
)
def test_a_mistake_in_how_to_evaluate_is_the_users(small, settings):
    with pytest.raises(UserError):
        zoo.train("mf", small, progress=False, **settings)


@pytest.mark.parametrize(("name", "hparams"), [("ncf", {"hidden": 8}), ("ncf", {"dropout": "0.1x"})])
def test_an_hparam_of_the_wrong_type_is_named(small, name, hparams):
    try:
        zoo.train(name, small, progress=False, hparams=hparams)
    except UserError as error:
        assert next(iter(hparams)) in str(error)  # noqa: PT017


def test_a_seed_too_large_is_refused(small):
    try:
        train("mf", small, seed=2**33)
    except UserError as error:
        assert "seed" in str(error)  # noqa: PT017
