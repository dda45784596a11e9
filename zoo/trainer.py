"""The one training loop: a step compiled once, several steps a call, checkpoints that resume exactly."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TrainConfig
from zoo.errors import UserError, ZooError, unknown_name
from zoo.objectives.base import Objective
from zoo.recommender import Recommender

CHECKPOINT = "checkpoint.npz"

# Metrics of which less is better.
FALLING = ("rmse", "mae", "log_loss", "loss")

Validate = Callable[[], dict[str, float]]


@dataclasses.dataclass
class Progress:
    """How far training has come; all of it is in a checkpoint.

    Args:
        epoch: Epochs done.
        history: Loss, validation metrics and seconds of each.
        best: The best value of the monitored metric.
        best_epoch: The epoch it was reached in.
        stopped: Whether training ended early.
    """

    epoch: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    stopped: bool = False


class Trainer:
    """Trains a recommender by gradient steps.

    Args:
        model: The recommender.
        objective: Its examples and loss.
        config: Epochs, batch size, optimizer and the like.
        validate: Gives the validation metrics of the model as it is.
        monitor: The metric among them that decides which epoch was best.
        folder: Where checkpoints go; without one there are none.
        callbacks: Keras callbacks. They see `loss` and the validation metrics at the end of each epoch,
            and may set `model.stop_training`.

    Example:

    >>> Trainer(model, objective, TrainConfig(epochs=3), validate, "ndcg@10").fit()
    """

    def __init__(
        self,
        model: Recommender,
        objective: Objective,
        config: TrainConfig,
        validate: Validate,
        monitor: str,
        folder: Path | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        self.model, self.objective, self.config = model, objective, config
        self.validate, self.monitor, self.folder = validate, monitor, folder
        self.sign = -1.0 if monitor.split("@")[0] in FALLING else 1.0
        self.optimizer = make_optimizer(config)
        self.optimizer.build(model.trainable_variables)
        # Keras callbacks look for the optimizer on the model.
        model.optimizer = self.optimizer
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=model, epochs=config.epochs, steps=self.steps_per_epoch
        )
        self.progress = Progress()
        self.best_weights: list[np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the examples."""
        return -(-self.objective.num_examples // self.config.batch_size)

    def fit(self) -> Progress:
        """Trains to the last epoch, or until the monitored metric stops rising; keeps the best weights.

        Returns:
            The progress, with the history of every epoch.

        Raises:
            ZooError: If the loss is not finite; the message names the epoch and the step.
        """
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        try:
            while self.progress.epoch < self.config.epochs and not self.progress.stopped:
                self._epoch()
            if self.best_weights is not None:
                self.model.set_weights(self.best_weights)
        finally:
            self.callbacks.on_train_end()
        return self.progress

    def resume(self) -> None:
        """Takes up the checkpoint of an interrupted run, if there is one."""
        path = self.folder / CHECKPOINT if self.folder else None
        if path is None or not path.exists():
            return
        try:
            with np.load(path, allow_pickle=False) as arrays:
                state = json.loads(str(arrays["progress"]))
                for index, variable in enumerate(self._variables()):
                    variable.assign(arrays[f"variable/{index}"])
                if state["best"] is not None:
                    self.best_weights = [arrays[f"best/{index}"] for index in range(len(self.model.weights))]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not a checkpoint of this run ({error}). Start anew with --overwrite.") from error
        self.progress = Progress(**state)

    def _epoch(self) -> None:
        epoch, started = self.progress.epoch, time.perf_counter()
        self.callbacks.on_epoch_begin(epoch)
        # The order of an epoch depends on the seed and its number alone, so a resumed run repeats it.
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.objective.num_examples)
        losses = [self._call(tf.constant(order, tf.int32), step) for step in self._calls()]
        logs = {"loss": float(np.average([loss for loss, _ in losses], weights=[n for _, n in losses]))}
        logs["seconds"] = time.perf_counter() - started
        logs.update(self.validate())
        self.progress.epoch += 1
        self.progress.history.append(logs)
        self._compare(logs)
        self.callbacks.on_epoch_end(epoch, logs)
        self.progress.stopped |= bool(self.model.stop_training)
        if self.folder:
            self._save()

    def _calls(self) -> range:
        return range(0, self.steps_per_epoch, self.config.steps_per_call)

    def _call(self, order: tf.Tensor, first: int) -> tuple[float, int]:
        """Runs the steps from `first` on that one call holds; gives their mean loss and number."""
        number = min(self.config.steps_per_call, self.steps_per_epoch - first)
        self.callbacks.on_train_batch_begin(first)
        steps = [tf.constant(value, tf.int32) for value in (self.progress.epoch, first, first + number)]
        loss = float(self._steps(order, *steps))
        if not np.isfinite(loss):
            raise ZooError(
                f"The loss became {loss} in epoch {self.progress.epoch + 1}, between steps {first + 1} and "
                f"{first + number}. Try a smaller learning rate (train.learning_rate={self.config.learning_rate})."
            )
        self.callbacks.on_train_batch_end(first + number - 1, {"loss": loss})
        return loss, number

    @tf.function
    def _steps(self, order: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for step in tf.range(first, end):
            examples = order[step * self.config.batch_size : (step + 1) * self.config.batch_size]
            total += self._step(examples, tf.stack([self.config.seed + 1000003 * epoch, step]))
        return total / tf.cast(end - first, tf.float32)

    def _step(self, examples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.objective.loss(examples, seed)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        # Parts that this objective does not reach have no gradient and stay as they are.
        reached = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        self.optimizer.apply_gradients(reached)
        return loss

    def _compare(self, logs: dict[str, float]) -> None:
        if self.monitor not in logs:
            raise unknown_name("metric to monitor", self.monitor, logs)
        progress, value = self.progress, self.sign * logs[self.monitor]
        if progress.best is None or value > self.sign * progress.best:
            progress.best, progress.best_epoch = logs[self.monitor], progress.epoch
            self.best_weights = self.model.get_weights()
        elif self.config.patience is not None and progress.epoch - progress.best_epoch >= self.config.patience:
            progress.stopped = True

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *self.optimizer.variables]

    def _save(self) -> None:
        assert self.folder is not None
        arrays: dict[str, Any] = {"progress": np.array(json.dumps(dataclasses.asdict(self.progress)))}
        arrays.update({f"variable/{index}": np.asarray(value) for index, value in enumerate(self._variables())})
        arrays.update({f"best/{index}": value for index, value in enumerate(self.best_weights or [])})
        unfinished = self.folder / f"unfinished-{CHECKPOINT}"
        np.savez(unfinished, **arrays)
        os.replace(unfinished, self.folder / CHECKPOINT)


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """The Keras optimizer that a config names.

    Raises:
        UserError: With the near names, if Keras has no such optimizer.
    """
    base, wrapper = keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer
    known = {
        name.lower(): kind
        for name, kind in vars(keras.optimizers).items()
        if isinstance(kind, type) and issubclass(kind, base) and kind not in (base, wrapper)
    }
    if config.optimizer.lower() not in known:
        raise unknown_name("optimizer", config.optimizer, known)
    return known[config.optimizer.lower()](learning_rate=config.learning_rate, weight_decay=config.weight_decay)
