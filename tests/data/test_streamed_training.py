"""Data larger than memory: what is prepared from files and trained on is what would be in memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from streams import make_events, write_parquet

import export
import zoo
from zoo.config import TrainConfig
from zoo.data import prepare, streamed
from zoo.data.examples import Examples, StreamedExamples
from zoo.data.stream_preparation import prepare_stream
from zoo.data.streamed import StreamedDataset
from zoo.errors import UserError
from zoo.objectives import make_objective, streamable_objectives
from zoo.objectives.base import Batch
from zoo.schema import FIRST_KNOWN
from zoo.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("small_pieces")


@pytest.fixture
def data(tmp_path, scratch) -> StreamedDataset:
    path = write_parquet(make_events(), tmp_path / "events.parquet")
    return prepare_stream(path, scratch=scratch, split={"name": "sample", "users": 6})


def test_an_epoch_brings_the_same_events_as_in_memory(tmp_path):
    parts = np.random.default_rng(0).choice(["train", "test"], 500, p=[0.9, 0.1])
    frame = make_events(split=parts)
    users = pd.DataFrame({"user": [f"u{one:02d}" for one in range(20)], "age": np.linspace(18, 80, 20)})
    options = {"users": users, "label_threshold": 3}
    path = write_parquet(frame, tmp_path / "events.parquet")
    for positives in (False, True):
        expected = Examples(prepare(frame, **options), ["user", "age"], positives)
        events = StreamedExamples(prepare_stream(path, **options), ["user", "age"], positives)
        assert events.num_examples == expected.num_examples
        np.testing.assert_array_equal(events.item_counts, expected.item_counts)

        def rows(source):
            found = Counter()
            for examples in source.epoch([0, 0], 60):
                one = source.at(examples)
                columns = one.users, one.items, one.labels, one.query["user"], one.query["age"]
                found.update(zip(*(column.numpy().tolist() for column in columns), strict=True))
            return found

        assert rows(events) == rows(expected)


def test_a_step_over_all_interactions_is_that_of_data_in_memory(tmp_path):
    frame = make_events(split="train")
    path = write_parquet(frame, tmp_path / "events.parquet")
    weights = []
    for data in (prepare(frame), prepare_stream(path)):
        keras.utils.set_random_seed(0)
        model = zoo.build("mf", num_users=20, num_items=30, embedding_dim=4)
        objective = make_objective("pointwise", model, data, {"feedback": "explicit"})
        config = TrainConfig(epochs=5, batch_size=1000, learning_rate=0.1, optimizer="sgd")
        Trainer(model, objective, config, dict, "loss").fit()
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def train_streamed(source, epochs=3, **options) -> zoo.Run:
    settings = {
        "hparams": {"embedding_dim": 4},
        "split": {"name": "sample", "options": {"users": 6}},
        "train": {
            "epochs": epochs,
            "batch_size": 32,
            "learning_rate": 0.02,
            "patience": None,
            "steps_per_execution": 4,
        },
        "data": {"stream": True},
        "progress": False,
        **options,
    }
    return zoo.train("mf", source, **settings)


@pytest.fixture
def path(tmp_path) -> Path:
    return write_parquet(make_events(), tmp_path / "events.parquet")


class KilledError(RuntimeError):
    """Stands for whatever ends a process in the middle of training."""


class KillInEpoch(keras.callbacks.Callback):
    """Ends training at the start of an epoch, counted from 0."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KilledError


def test_a_resumed_run_ends_like_an_uninterrupted_one(path, tmp_path):
    whole = train_streamed(path)
    out = tmp_path / "runs" / "mf"
    with pytest.raises(KilledError):
        train_streamed(path, out=out, callbacks=[KillInEpoch(2)])
    gc.collect()
    assert [one.name for one in out.parent.iterdir()] == [".mf-unfinished"]
    path.unlink()  # what is left to train on is in the unfinished folder
    resumed = train_streamed(path, out=out, resume=True)
    for expected, weights in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(expected, weights)
    assert [one.name for one in out.parent.iterdir()] == ["mf"]


def test_an_interrupted_run_whose_interactions_are_gone_says_so(path, tmp_path):
    out = tmp_path / "runs" / "mf"
    with pytest.raises(KilledError):
        train_streamed(path, out=out, callbacks=[KillInEpoch(2)])
    shard = next((out.parent / ".mf-unfinished" / "data" / streamed.FOLDER).iterdir())
    shard.write_bytes(shard.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"bytes, expected .* Start anew with --overwrite"):
        train_streamed(path, out=out, resume=True)


def test_a_run_is_saved_without_what_it_was_trained_on_and_works_on(path, tmp_path):
    run = train_streamed(path, out=tmp_path / "runs" / "mf")
    gc.collect()
    assert [one.name for one in (tmp_path / "runs").iterdir()] == ["mf"]
    assert not (tmp_path / "runs" / "mf" / "data" / streamed.FOLDER).exists()
    again = zoo.load(tmp_path / "runs" / "mf")
    assert isinstance(again.dataset, StreamedDataset)
    assert again.evaluate().to_json() == run.metrics["full-ranking/test"]
    assert {"hr@10", "ndcg@10"} <= run.history[0].keys(), "validation is on the sampled users"
    bundle = export.export(again, tmp_path / "bundle", formats=("saved_model",))
    assert all(check.passed for check in export.verify(bundle))
    with pytest.raises(UserError, match=r"is gone\. A run does not keep what it was trained on"):
        zoo.train("mf", again.dataset, progress=False)


def test_items_that_a_sampled_user_has_seen_are_not_recommended(path, tmp_path):
    run = train_streamed(path, epochs=1)
    frame, seen = make_events(), {}
    for user, items in frame.groupby("user")["item"]:
        recommended = set(run.recommend([user], k=30)["item"])
        seen[user] = not recommended & set(items)
        assert recommended == set(range(100, 130)) - (set(items) if seen[user] else set())
    sampled = run.dataset.vocabularies["user"].lookup(run.dataset.interactions["user"].unique())
    assert {user for user, is_known in seen.items() if is_known} == set(sampled)
    assert len(run.recommend(["nobody"], k=3)) == 3


def test_a_prepared_stream_can_be_trained_on_again(data, tmp_path):
    options = {"progress": False, "train": {"epochs": 1, "batch_size": 32}}
    runs = [zoo.train("mf", data, out=tmp_path / f"run{number}", **options) for number in range(2)]
    for one, other in zip(runs[0].model.weights, runs[1].model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    data.shards.check()


def test_training_learns_what_there_is_to_learn(path):
    losses = [epoch["loss"] for epoch in train_streamed(path, epochs=8).history]
    assert losses[0] == pytest.approx(np.log(2), abs=0.1), "at the start nothing is known"
    assert losses[-1] < losses[0] - 0.02


OPTIONS = {
    "bpr": {},
    "full_softmax": {},
    "gbce": {"negatives": 4},
    "in_batch_softmax": {},
    "pointwise": {},
    "sampled_softmax": {"negatives": 8, "sampler": "popularity"},
}


@pytest.mark.parametrize("name", streamable_objectives())
def test_every_objective_of_single_interactions_trains_on_a_stream(path, name):
    # Users like one half of the items, so most negatives are items of the other half.
    data = prepare_stream(path, label_threshold=3)
    train = {"objective": name, "options": OPTIONS[name], "epochs": 12, "batch_size": 32, "learning_rate": 0.05}
    losses = [epoch["loss"] for epoch in zoo.train("mf", data, train=train, progress=False).history]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "options",
    [{"sampler": name} for name in ("hard", "in-batch", "popularity")] + [{"shared": 8}, {"feedback": "explicit"}],
    ids=str,
)
def test_every_way_to_draw_negatives_works_on_a_stream(data, options):
    train = {"options": options, "epochs": 1, "batch_size": 32}
    assert np.isfinite(zoo.train("mf", data, train=train, progress=False).history[0]["loss"])


def test_negatives_come_from_the_whole_catalogue(data):
    model = zoo.build("mf", data.schema, embedding_dim=4)
    objective = make_objective("pointwise", model, data, {"negatives": 400})
    examples = next(objective.epoch([0, 0], 32))
    batch = Batch(examples, tf.constant([0, 0]), tf.range(32), tf.constant(32))
    drawn, weights = objective._sampler(objective._events.at(examples), batch)
    counts = np.bincount(drawn.numpy().ravel(), minlength=data.num_items)[FIRST_KNOWN:]
    # 12,800 draws from 30 items: 427 each, with a standard deviation of 20.
    assert (abs(counts - 12_800 / 30) < 100).all()
    assert (weights.numpy() == 1).all()


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("lstm", {}, r"'lstm' reads histories, which streamed data cannot give\. These train on it: .*\bmf, ncf\b"),
        ("popularity", {}, r"'popularity' needs all interactions at once, .* These train on it: "),
        ("mf", {"train": {"objective": "next_item"}}, r"Objective 'next_item' needs .* train\.objective: bpr, "),
        ("mf", {"train": {"objective": "reconstruction"}}, "Objective 'reconstruction' needs all that a user has seen"),
        ("mf", {"train": {"objective": "pointwize"}}, "Unknown objective 'pointwize'. Did you mean 'pointwise'"),
    ],
)
def test_settings_that_need_whole_users_are_refused_before_anything_is_read(path, tmp_path, model, settings, message):
    with pytest.raises(UserError, match=message):
        zoo.train(model, tmp_path / "missing.parquet", data={"stream": True}, out=tmp_path / "runs" / "x", **settings)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UserError, match=message):
        zoo.train(model, prepare_stream(path), **settings)


def test_an_architecture_that_knows_items_by_their_users_is_refused_for_a_stream(path):
    with pytest.raises(UserError, match="needs all interactions at once"):
        zoo.train("item_autoencoder", path, data={"stream": True}, train={"objective": "pointwise"}, progress=False)


def test_an_objective_of_whole_users_is_refused_for_a_stream(data):
    model = zoo.build("mf", data.schema, embedding_dim=4)
    with pytest.raises(UserError, match="Objective 'next_item' needs all that a user has seen at once"):
        make_objective("next_item", model, data, {})
    with pytest.raises(UserError, match="avoid_seen needs what users have seen in memory"):
        make_objective("in_batch_softmax", model, data, {"avoid_seen": True})


def test_a_failed_preparation_leaves_no_run(tmp_path):
    frame = make_events().astype({"rating": str})
    frame.loc[123, "rating"] = "good"
    path = write_parquet(frame, tmp_path / "events.parquet")
    with pytest.raises(UserError, match="row 124, column 'rating': a rating must be a number"):
        train_streamed(path, out=tmp_path / "runs" / "mf")
    assert not (tmp_path / "runs").exists()


REPLICAS = """
import sys, keras, numpy as np, tensorflow as tf
cpu, two = tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
import zoo
from zoo.config import TrainConfig
from zoo.data.stream_preparation import prepare_stream
from zoo.objectives import make_objective
from zoo.training.loop import Trainer

data = prepare_stream(sys.argv[1], split={"name": "sample", "users": 6})
found = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = zoo.build("mf", data.schema, embedding_dim=4)
        objective = make_objective("pointwise", model, data, {})
        Trainer(model, objective, TrainConfig(epochs=2, batch_size=31, learning_rate=0.05), dict, "loss").fit()
    found.append(model.get_weights())
for one, two in zip(*found):
    np.testing.assert_allclose(one, two, atol=2e-5)
print("same")
"""


@pytest.mark.slow
def test_two_replicas_learn_what_one_does(path):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run(
        [sys.executable, "-c", REPLICAS, str(path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert ran.stdout.strip() == "same", ran.stderr
