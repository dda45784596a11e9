"""A trainer over a scripted loss and scripted metrics, for the tests of the training loop."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import zoo
from zoo.config import TrainConfig
from zoo.objectives.base import Objective
from zoo.training.loop import Trainer


class Scripted(Objective):
    """A loss that is a function of the weights and the step, to know what training makes of them."""

    def __init__(self, model, loss, num_examples=1):
        self.model, self.num_examples = model, num_examples
        self._loss = loss

    def loss(self, batch):
        return self._loss(self.model.trainable_variables, batch.examples, batch.seed), tf.constant(1.0)


def half_square(weights, examples, seed):
    return 0.5 * sum(tf.reduce_sum(weight**2) for weight in weights)


class Recorder(keras.callbacks.Callback):
    """Notes what is called, with the weights at the end of every epoch."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.calls, self.weights, self.stop_after = [], [], stop_after

    def on_train_begin(self, logs=None):
        self.calls.append("train begins")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} begins")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"step {batch} ends")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} ends with {', '.join(sorted(logs))}")
        self.weights.append(self.model.get_weights())
        if self.stop_after == epoch:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.calls.append("train ends")


def small_model(**hparams):
    keras.utils.set_random_seed(0)
    return zoo.build("mf", num_users=3, num_items=4, **{"embedding_dim": 2, **hparams})


def trainer_of(loss=half_square, metrics=None, monitor="ndcg@10", num_examples=1, callbacks=(), **config):
    """A trainer over a scripted loss and scripted validation metrics."""
    model = small_model()
    given = iter(metrics or [])
    validate = (lambda: {monitor: next(given)}) if metrics else dict
    settings = TrainConfig(**{"batch_size": 1, "optimizer": "sgd", "learning_rate": 0.1, **config})
    objective = Scripted(model, loss, num_examples)
    return Trainer(model, objective, settings, validate, monitor if metrics else "loss", callbacks=callbacks)


def assert_same(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(weight, other)
