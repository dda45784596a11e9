from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scripted import Recorder, Scripted, assert_same, half_square, small_model, trainer_of

import zoo
from zoo.config import TrainConfig
from zoo.errors import UserError, ZooError
from zoo.objectives import make_objective
from zoo.training.loop import CHECKPOINT, Trainer
from zoo.training.progress import ProgressBar

# Steps


def test_gradient_descent_takes_the_steps_it_should():
    trainer = trainer_of(num_examples=3, epochs=2, steps_per_execution=2)
    before = [weight.numpy() for weight in trainer.model.trainable_weights]
    trainer.fit()
    # Descending on half the square at the rate 0.1 leaves 0.9 of each weight after every step.
    for weight, first in zip(trainer.model.trainable_weights, before, strict=True):
        np.testing.assert_allclose(weight, first * 0.9 ** (3 * 2), rtol=1e-5)


def test_an_epoch_is_one_pass_over_the_examples_in_another_order_each_time():
    seen = tf.Variable(tf.zeros([4, 3, 4], tf.int32))

    def note(weights, examples, seed):
        epoch, step = seed[0] // 1000003, seed[1]
        padded = tf.pad(examples + 1, [[0, 4 - tf.shape(examples)[0]]])
        seen.scatter_nd_update([[epoch, step]], [padded])
        return half_square(weights, examples, seed)

    trainer_of(note, num_examples=10, epochs=4, batch_size=4, steps_per_execution=2).fit()
    epochs = seen.numpy()
    assert (epochs[:, :2] > 0).all()
    orders = [[int(one) for one in epoch.ravel() if one] for epoch in epochs]
    assert all(sorted(order) == list(range(1, 11)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_the_loss_of_a_step_is_the_sum_over_its_examples_by_their_weight():
    class Weighted(Scripted):
        def loss(self, batch):
            count = tf.cast(tf.size(batch.examples), tf.float32)
            return count * half_square(self.model.trainable_variables, None, None), 2 * count

    model = small_model()
    before = [weight.numpy() for weight in model.trainable_weights]
    config = TrainConfig(epochs=1, batch_size=3, optimizer="sgd", learning_rate=0.1)
    history = Trainer(model, Weighted(model, None, num_examples=3), config, dict, "loss").fit().history
    assert history[0]["loss"] == pytest.approx(0.25 * sum(np.sum(weight**2) for weight in before), rel=1e-5)
    for weight, first in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_allclose(weight, first * 0.95, rtol=1e-5)


def test_a_batch_that_weighs_nothing_changes_nothing():
    class Empty(Scripted):
        def loss(self, batch):
            return 0.0 * half_square(self.model.trainable_variables, None, None), tf.constant(0.0)

    model = small_model()
    before = model.get_weights()
    trainer = Trainer(model, Empty(model, None), TrainConfig(epochs=1), dict, "loss")
    assert trainer.fit().history[0]["loss"] == 0
    assert_same(model.get_weights(), before)


@pytest.mark.parametrize(("num_examples", "calls"), [(4, [1]), (5, [1, 2]), (9, [1, 3, 4]), (1, [0])])
def test_a_batch_that_is_not_full_has_a_call_of_its_own(num_examples, calls):
    recorder = Recorder()
    trainer_of(num_examples=num_examples, epochs=1, batch_size=2, steps_per_execution=2, callbacks=[recorder]).fit()
    assert [call for call in recorder.calls if call.startswith("step")] == [f"step {call} ends" for call in calls]


@pytest.mark.parametrize("steps_per_execution", [1, 2, 5, 100])
def test_the_loss_of_an_epoch_is_the_mean_over_its_steps(steps_per_execution):
    def step_number(weights, examples, seed):
        return tf.cast(seed[1], tf.float32) + 0 * half_square(weights, examples, seed)

    trainer = trainer_of(step_number, num_examples=5, epochs=1, steps_per_execution=steps_per_execution)
    assert trainer.fit().history[0]["loss"] == 2.0


def test_every_step_has_a_seed_of_its_own():
    seeds = tf.Variable(tf.zeros([6, 2], tf.int32))
    count = tf.Variable(0)

    def note(weights, examples, seed):
        seeds.scatter_nd_update([[count]], [seed])
        count.assign_add(1)
        return half_square(weights, examples, seed)

    trainer_of(note, num_examples=3, epochs=2).fit()
    assert len({tuple(seed) for seed in seeds.numpy().tolist()}) == 6


def test_the_loss_of_a_real_objective_falls(datasets):
    data = datasets["ids"]
    model = zoo.build("mf", data.schema, embedding_dim=4)
    config = TrainConfig(epochs=6, batch_size=32, learning_rate=0.05)
    history = Trainer(model, make_objective("pointwise", model, data, {}), config, dict, "loss").fit().history
    losses = [epoch["loss"] for epoch in history]
    assert losses[0] == pytest.approx(np.log(2), abs=0.1), "at the start nothing is known"
    assert losses[-1] < 0.8 * losses[0]
    assert all(epoch["seconds"] > 0 for epoch in history)


def test_weights_that_a_loss_does_not_reach_stay_as_they_are():
    trainer = trainer_of(lambda weights, *_: tf.reduce_sum(weights[0] ** 2), epochs=2)
    before = trainer.model.get_weights()
    trainer.fit()
    after = trainer.model.get_weights()
    assert (after[0] != before[0]).any()
    assert_same(after[1:], before[1:])


# Choosing the best epoch


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("ndcg@10", [0.1, 0.3, 0.2, 0.3, 0.9], 1),
        ("rmse", [1.0, 0.8, 0.9, 0.8, 0.1], 1),
        ("auc", [3, 2, 1, 9], 0),
    ],
)
def test_training_stops_early_and_keeps_the_best_weights(monitor, values, best):
    recorder = Recorder()
    trainer = trainer_of(metrics=values, monitor=monitor, epochs=5, patience=2, callbacks=[recorder])
    progress = trainer.fit()
    assert len(progress.history) == best + 1 + 2
    assert [epoch[monitor] for epoch in progress.history] == values[: best + 3]
    assert (progress.best, progress.best_epoch, progress.stopped) == (values[best], best + 1, True)
    assert_same(trainer.model.get_weights(), recorder.weights[best])
    assert (recorder.weights[best][0] != recorder.weights[best + 1][0]).any()


def test_training_goes_on_without_patience_and_the_best_weights_are_kept_all_the_same():
    recorder = Recorder()
    trainer = trainer_of(metrics=[0.3, 0.1, 0.2, 0.1], epochs=4, patience=None, callbacks=[recorder])
    assert len(trainer.fit().history) == 4
    assert_same(trainer.model.get_weights(), recorder.weights[0])


# Failures


def test_a_loss_that_is_no_number_names_epoch_and_step():
    def fail(weights, examples, seed):
        is_there = (seed[0] == 1000003) & (seed[1] == 3)
        return half_square(weights, examples, seed) * tf.where(is_there, np.nan, 1.0)

    trainer = trainer_of(fail, num_examples=5, epochs=3, steps_per_execution=2)
    with pytest.raises(ZooError, match="not a finite number any more from step 4 of epoch 2 on") as error:
        trainer.fit()
    assert not isinstance(error.value, UserError)
    assert "learning_rate=0.1" in str(error.value)
    assert "global_clipnorm" in str(error.value)
    assert "checkpoint" not in str(error.value), "there is no folder to keep one in"
    assert len(trainer.progress.history) == 1


def test_the_checkpoint_of_the_last_good_epoch_can_be_taken_up_after_a_failure(tmp_path):
    def fail(weights, examples, seed):
        return half_square(weights, examples, seed) * tf.where(seed[0] < 2 * 1000003, 1.0, np.nan)

    recorder = Recorder()
    trainer = trainer_of(fail, num_examples=3, epochs=5, callbacks=[recorder])
    trainer.folder = tmp_path
    with pytest.raises(ZooError, match="from step 1 of epoch 3 on") as error:
        trainer.fit()
    assert f"The checkpoint of epoch 2 is kept in {tmp_path / CHECKPOINT}" in str(error.value)
    again = trainer_of(num_examples=3, epochs=5)
    again.folder = tmp_path
    again.resume()
    assert again.progress.epoch == 2
    assert_same(again.model.get_weights(), recorder.weights[1])


def test_a_failure_ends_the_progress_bar():
    bar = ProgressBar("mf", "loss")
    trainer = trainer_of(lambda weights, *_: tf.reduce_sum(weights[0]) * np.nan, callbacks=[bar])
    try:
        with pytest.raises(ZooError):
            trainer.fit()
        assert not bar._bar.live.is_started
    finally:
        bar._bar.stop()


def test_an_unknown_metric_to_watch_gives_the_near_names():
    trainer = trainer_of(metrics=[0.1])
    trainer.monitor = "ndgc@10"
    with pytest.raises(UserError, match=r"ndcg@10"):
        trainer.fit()


# Callbacks


def test_keras_callbacks_are_called_in_the_order_of_keras():
    recorder = Recorder()
    trainer_of(metrics=[0.1, 0.2], num_examples=3, epochs=2, steps_per_execution=2, callbacks=[recorder]).fit()
    assert recorder.calls == [
        "train begins",
        "epoch 0 begins",
        "step 1 ends",
        "step 2 ends",
        "epoch 0 ends with loss, ndcg@10, seconds",
        "epoch 1 begins",
        "step 1 ends",
        "step 2 ends",
        "epoch 1 ends with loss, ndcg@10, seconds",
        "train ends",
    ]


def test_a_callback_may_stop_training():
    trainer = trainer_of(epochs=5, callbacks=[Recorder(stop_after=1)])
    assert len(trainer.fit().history) == 2


def test_a_callback_may_change_the_learning_rate():
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: [0.5, 0.0, 0.0][epoch])
    trainer = trainer_of(epochs=3, callbacks=[schedule])
    before = trainer.model.get_weights()[0]
    trainer.fit()
    np.testing.assert_allclose(trainer.model.get_weights()[0], before * 0.5, rtol=1e-6)


def test_the_progress_bar_shows_epoch_loss_and_metric():
    bar = ProgressBar("mf", "ndcg@10")
    trainer_of(metrics=[0.25, 0.75], num_examples=3, epochs=2, callbacks=[bar]).fit()
    (task,) = bar._bar.tasks
    assert task.description.startswith("mf epoch 2/2 loss 0.")
    assert task.description.endswith("ndcg@10 0.7500")
    assert task.finished
    assert not bar._bar.live.is_started


# Averages of the weights


def averages_of(first, steps_of_calls, decay, rate=0.1):
    """Averages after each call, of weights that every step leaves `1 - rate` of."""
    weight = average = first
    for steps in steps_of_calls:
        weight = weight * (1 - rate) ** steps
        average = decay**steps * average + (1 - decay**steps) * weight
        yield average


def test_the_average_of_the_weights_at_the_ends_of_calls_is_what_is_kept():
    trainer = trainer_of(num_examples=5, epochs=2, steps_per_execution=2, ema=0.8)
    before = [weight.numpy() for weight in trainer.model.trainable_weights]
    trainer.fit()
    for weight, first in zip(trainer.model.trainable_weights, before, strict=True):
        *_, expected = averages_of(first, [2, 2, 1, 2, 2, 1], decay=0.8)
        np.testing.assert_allclose(weight, expected, rtol=1e-5)


def test_the_average_is_validated_and_the_best_one_kept_while_training_goes_on_from_the_weights():
    trainer = trainer_of(metrics=[0.1, 0.3, 0.2], num_examples=2, epochs=3, patience=None, ema=0.8)
    first, seen = trainer.model.get_weights()[0], []
    validate = trainer.validate
    trainer.validate = lambda: seen.append(trainer.model.get_weights()[0]) or validate()
    trainer.fit()
    expected = list(averages_of(first, [2, 2, 2], decay=0.8))
    for average, one in zip(expected, seen, strict=True):
        np.testing.assert_allclose(one, average, rtol=1e-5)
    assert_same(trainer.model.get_weights()[:1], seen[1:2])


def test_an_interrupted_average_is_taken_up(tmp_path):
    whole = trainer_of(num_examples=2, epochs=4, ema=0.8)
    whole.fit()
    begun = trainer_of(num_examples=2, epochs=4, ema=0.8, callbacks=[Recorder(stop_after=1)])
    begun.folder = tmp_path
    begun.fit()
    resumed = trainer_of(num_examples=2, epochs=4, ema=0.8)
    resumed.folder = tmp_path
    resumed.resume()
    resumed.progress.stopped = False
    resumed.fit()
    assert_same(resumed.model.get_weights(), whole.model.get_weights())


# Memory


@pytest.mark.parametrize(
    ("settings", "metrics", "copies"),
    [
        ({"optimizer": "sgd", "ema": 0.9}, None, 2),
        ({"optimizer": "adagrad"}, None, 1),
        ({"optimizer": "adam"}, None, 2),
        ({"optimizer": "adam"}, [0.1], 3),
        ({"optimizer": "adam", "ema": 0.9}, [0.1], 5),
        ({"optimizer": "rmsprop"}, None, 3),
    ],
)
def test_training_that_would_not_fit_into_memory_is_refused_before_it_starts(monkeypatch, settings, metrics, copies):
    size = sum(weight.numpy().nbytes for weight in small_model().trainable_weights)
    monkeypatch.setattr("zoo.memory.available_memory", lambda: copies * size)
    trainer_of(metrics=metrics, **settings)
    monkeypatch.setattr("zoo.memory.available_memory", lambda: copies * size - 1)
    with pytest.raises(UserError, match=rf"Training 'mf' keeps {copies} more numbers.*needs {copies * size} bytes"):
        trainer_of(metrics=metrics, **settings)
