"""The one training loop: a step compiled once, several steps a call, checkpoints that resume exactly."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.arrays import open_arrays
from zoo.config import TrainConfig
from zoo.errors import UserError, ZooError, unknown_name
from zoo.evaluation.metrics import gain
from zoo.families import Recommender, check_finite
from zoo.layers import derive
from zoo.memory import check_memory
from zoo.objectives.base import Batch, ExampleTensors, Objective
from zoo.training.checkpoints import CHECKPOINT, Progress, array_like, write_checkpoint
from zoo.training.distribution import from_chief, is_chief
from zoo.training.optimizers import make_optimizer, scaled, sum_duplicates

# Seconds of training after which an epoch is in a checkpoint before it is validated, because that may take long too.
WORTH_KEEPING = 30.0

Validate = Callable[[], dict[str, float]]
StepFunction = Callable[..., tuple[tf.Tensor, tf.Tensor]]


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
        checkpoint: The name of the file of checkpoints.

    Example:

    ```python
    Trainer(model, objective, TrainConfig(epochs=3), validate, "ndcg@10").fit()
    ```
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
        checkpoint: str = CHECKPOINT,
    ) -> None:
        self.strategy = tf.distribute.get_strategy()
        self.model, self.objective, self.config = model, objective, config
        self.validate, self.monitor, self.folder = validate, monitor, folder
        self.checkpoint_name = checkpoint
        chiefs = from_chief(objective.num_examples)
        if chiefs != objective.num_examples:
            raise UserError(
                f"This worker has {objective.num_examples} examples to train on, and the first one has {chiefs}. "
                "Give all workers the same data."
            )
        self.optimizer = make_optimizer(config, config.epochs * self.steps_per_epoch)
        self.averages: list[tf.Variable] = []
        self._make_room()
        self._phase, self._functions = "", dict[tuple[str, bool], StepFunction]()
        if config.jit_compile:
            self._check_xla()
        # Keras callbacks look for the optimizer on the model.
        model.optimizer = self.optimizer
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=model, epochs=config.epochs, steps=self.steps_per_epoch
        )
        self.progress = Progress()
        self.best_weights: list[np.ndarray] | None = None

    @property
    def checkpoint(self) -> Path | None:
        """Where checkpoints go, if anywhere."""
        return self.folder / self.checkpoint_name if self.folder else None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the examples."""
        return -(-self.objective.num_examples // self.config.batch_size)

    def _check_xla(self) -> None:
        """Raises a `UserError` unless XLA can compile the steps."""
        obstacles = {
            # It cannot tell which rows come twice.
            "any optimizer except plain sgd (no train.l2, train.weight_decay=0)": not self.optimizer.takes_duplicates,
            "train.global_clipnorm": bool(self.config.global_clipnorm),
            "several devices or workers": self.strategy.num_replicas_in_sync > 1,
        }
        for obstacle, is_there in obstacles.items():
            if is_there:
                raise UserError(f"train.jit_compile does not go with {obstacle}. Leave one of them out.")

    def _make_room(self) -> None:
        """Makes what training keeps beside the weights. Raises a `UserError` if memory is too small for it."""
        weights = self.model.trainable_variables
        # An average, and while that is validated the weights themselves; and the best weights so far.
        copies = self.optimizer.slots + 2 * bool(self.config.ema) + (self.monitor != "loss")
        size = sum(int(np.prod(weight.shape)) * 4 for weight in weights)
        check_memory(
            f"Training {self.model.architecture!r} keeps {copies} more numbers for each of its weights "
            f"(optimizer {self.config.optimizer}), which",
            copies * size,
            "Use train.optimizer=sgd, which keeps none, or narrower vectors (embedding_dim).",
        )
        self.objective.check_batch(self.config.batch_size)
        self.optimizer.build(weights)
        if self.config.ema:
            self.averages = [tf.Variable(weight, trainable=False) for weight in weights]

    def fit(self, epochs: int | None = None) -> Progress:
        """Trains to the last epoch, or until the monitored metric stops rising.

        With validation the weights of the best epoch are kept, else the last ones. Their moving averages are kept
        instead if `train.ema` asks for them.

        Args:
            epochs: The last epoch, by default that of the settings. The schedule of the learning rate stays theirs.

        Returns:
            The progress, with the history of every epoch.

        Raises:
            ZooError: If the loss is not finite; the message names the epoch and the step. The checkpoint
                of the last good epoch stays.
            UserError: If a weight is not finite after an epoch; the message names it. The checkpoint stays here too.
        """
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        try:
            while self.progress.epoch < (epochs or self.config.epochs) and not self.progress.stopped:
                self._epoch()
            for weight, average in zip(self.model.trainable_variables, self.averages, strict=False):
                weight.assign(average)
            if self.best_weights is not None:
                self.model.set_weights(self.best_weights)
            derive(self.model)
        finally:
            self.callbacks.on_train_end()
        return self.progress

    def resume(self) -> None:
        """Takes up the checkpoint of an interrupted run, if there is one; the chief's, where there are workers."""
        if (path := self.checkpoint) is None or not path.exists():
            self._take_up({})
            return
        with open_arrays(path, "It is not a checkpoint of this run. Start anew with --overwrite.") as arrays:
            self._take_up(arrays)

    def _take_up(self, arrays: Mapping[str, np.ndarray]) -> None:
        described = from_chief(str(arrays["progress"]) if "progress" in arrays else "")
        if not described:
            return
        self.progress = Progress(**json.loads(described))
        for index, variable in enumerate(self._variables()):
            variable.assign(array_like(arrays, f"variable/{index}", variable))
        if self.progress.best is not None and self.monitor != "loss":
            weights = self.model.weights
            self.best_weights = [array_like(arrays, f"best/{index}", one) for index, one in enumerate(weights)]

    def _epoch(self) -> None:
        epoch = self.progress.epoch
        self.callbacks.on_epoch_begin(epoch)
        logs = self._trained() if self.progress.unvalidated is None else self.progress.unvalidated
        self.progress.unvalidated = None
        with self._averaged():
            derive(self.model)
            # All workers go by the figures of one, because they must stop after the same epoch.
            logs.update(from_chief(self.validate() if is_chief() else {}))
            self.progress.epoch += 1
            self.progress.history.append(logs)
            self._compare(logs)
            self.callbacks.on_epoch_end(epoch, logs)
        self.progress.stopped |= from_chief(bool(self.model.stop_training))
        if self.checkpoint:
            self._save(self.checkpoint)

    def _trained(self) -> dict[str, float]:
        """Trains an epoch; gives mean loss and seconds."""
        started = time.perf_counter()
        self._phase = self.objective.begin_epoch(self.progress.epoch)
        losses = [self._call(*call) for call in self._calls()]
        # A loss is computed before the weights are updated, so the last step's says nothing of them.
        check_finite(self.model)
        loss = float(np.average([loss for loss, _ in losses], weights=[n for _, n in losses]))
        logs = {"loss": loss, "seconds": time.perf_counter() - started}
        if self.checkpoint and logs["seconds"] >= WORTH_KEEPING:
            self.progress.unvalidated = dict(logs)
            self._save(self.checkpoint)
        return logs

    def _calls(self) -> Iterator[tuple[ExampleTensors, int, int]]:
        """The examples of each call of an epoch, its first step and how many steps it has."""
        size, step = self.config.batch_size, 0
        # The order of an epoch depends only on the seed and its number, so a resumed run repeats it.
        seed = [self.config.seed, self.progress.epoch]
        for examples in self.objective.epoch(seed, size * self.config.steps_per_execution):
            number = len(tf.nest.flatten(examples)[0])
            full = number - number % size
            # A batch that is not full has a call of its own: among workers all steps of a call must be of one shape.
            for start, end in ((0, full), (full, number)):
                steps = -(-(end - start) // size)
                if steps:
                    yield _part(examples, start, end), step, steps
                step += steps

    def _call(self, examples: ExampleTensors, first: int, number: int) -> tuple[float, int]:
        """Runs some steps; gives their mean loss and number."""
        self.callbacks.on_train_batch_begin(first)
        steps = [tf.constant(value, tf.int32) for value in (self.progress.epoch, first, first + number)]
        size = self.config.batch_size
        if self.config.jit_compile and len(tf.nest.flatten(examples)[0]) == size * number:
            loss, failed = self._run_compiled(_padded(examples, size * self.config.steps_per_execution), *steps)
        else:
            loss, failed = self._run(examples, *steps)
        if int(failed) >= 0:
            raise ZooError(self._not_finite(int(failed)))
        if self.averages:
            self._update_averages(tf.constant((self.config.ema or 0.0) ** number))
        self.callbacks.on_train_batch_end(first + number - 1, {"loss": float(loss)})
        return float(loss), number

    def _steps(self, is_xla: bool) -> StepFunction:
        """The compiled steps of the phase that training is in."""
        key = self._phase, is_xla
        if key not in self._functions:
            run = partial(self._run_steps, phase=self._phase, are_full=is_xla)
            signature = None if is_xla else [self.objective.signature, *[tf.TensorSpec([], tf.int32)] * 3]
            self._functions[key] = tf.function(
                run, input_signature=signature, autograph=False, jit_compile=is_xla or None
            )
        return self._functions[key]

    def _run(self, examples: ExampleTensors, *steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        try:
            return self._steps(is_xla=False)(examples, *steps)
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"A step of {self.config.batch_size:,} examples needs more memory than there is. Choose a smaller "
                "train.batch_size, fewer negatives (train.options) or narrower vectors (embedding_dim)."
            ) from error

    def _run_compiled(self, examples: ExampleTensors, *steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        try:
            return self._steps(is_xla=True)(examples, *steps)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            reason = error.message.strip().splitlines()[0]
            raise UserError(
                f"XLA cannot compile this training ({reason}). To train it, leave train.jit_compile out."
            ) from error

    def _not_finite(self, step: int) -> str:
        kept = ""
        if self.folder and self.progress.epoch:
            kept = f" The checkpoint of epoch {self.progress.epoch} is kept in {self.checkpoint}."
        return (
            f"The loss is not a finite number any more from step {step + 1} of epoch {self.progress.epoch + 1} on. "
            f"Try a smaller learning rate (train.learning_rate={self.config.learning_rate}) "
            f"or train.global_clipnorm=1.{kept}"
        )

    def _run_steps(
        self, examples: ExampleTensors, epoch: tf.Tensor, first: tf.Tensor, end: tf.Tensor, phase: str, are_full: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean loss of the steps, and the first one whose loss was not finite, or -1.

        Args:
            examples: Those of all steps.
            epoch: The number of the epoch.
            first: The number of the first step.
            end: That of the last one, and one more.
            phase: What `Objective.begin_epoch` gave.
            are_full: Whether all batches are full, so that their size is known when the steps are compiled.
        """

        def run(step: tf.Tensor, total: tf.Tensor, failed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            start, size = (step - first) * self.config.batch_size, self.config.batch_size
            batch = _batch(examples, start, size) if are_full else _part(examples, start, start + size)
            seed = tf.stack([self.config.seed + 1000003 * epoch, step])
            passes = tf.cast(epoch, tf.float32) + tf.cast(step, tf.float32) / self.steps_per_epoch
            losses = self.strategy.run(partial(self._step, phase), (batch, seed, passes))
            loss = self.strategy.experimental_local_results(losses)[0]
            failed = tf.where((failed < 0) & ~tf.math.is_finite(loss), step, failed)
            return step + 1, total + loss, failed

        # Not autograph's loop, because converting all that a step calls takes half of the time to start.
        start = first, tf.constant(0.0), tf.constant(-1)
        _, total, failed = tf.while_loop(lambda step, *_: step < end, run, start)
        return total / tf.cast(end - first, tf.float32), failed

    def _step(self, phase: str, examples: ExampleTensors, seed: tf.Tensor, passes: tf.Tensor) -> tf.Tensor:
        """One replica's part of a step; gives the mean loss of the whole batch."""
        replica = tf.distribute.get_replica_context()
        size = tf.shape(tf.nest.flatten(examples)[0])[0]
        rows = tf.range(replica.replica_id_in_sync_group, size, replica.num_replicas_in_sync)
        own = tf.nest.map_structure(lambda one: tf.gather(one, rows), examples)
        whole = examples if replica.num_replicas_in_sync > 1 else None
        with tf.GradientTape() as tape:
            loss, weight = self.objective.loss(Batch(own, seed, rows, size, whole, passes, phase))
        weights = self.objective.trained_weights(phase)
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        # Parts that this objective does not reach have no gradient and stay as they are.
        reached = [weight for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None]
        gradients = [gradient for gradient in gradients if gradient is not None]
        if replica.num_replicas_in_sync > 1:
            loss, weight, *gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, [loss, weight, *gradients])
        share = tf.math.divide_no_nan(1.0, weight)
        if self.config.global_clipnorm or not self.optimizer.takes_duplicates:
            gradients = [sum_duplicates(gradient) for gradient in gradients]
        gradients = [scaled(gradient, share) for gradient in gradients]
        if self.config.global_clipnorm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.config.global_clipnorm)
        self.optimizer.apply(gradients, reached)
        return loss * share

    @partial(tf.function, autograph=False)
    def _update_averages(self, kept: tf.Tensor) -> None:
        for average, weight in zip(self.averages, self.model.trainable_variables, strict=True):
            average.assign(kept * average + (1 - kept) * weight)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """While this lasts, the model's weights are their moving averages, if there are such."""
        weights = [weight.numpy() for weight in self.model.trainable_variables] if self.averages else []
        for weight, average in zip(self.model.trainable_variables, self.averages, strict=False):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self.model.trainable_variables, weights, strict=False):
                weight.assign(value)

    def _compare(self, logs: dict[str, float]) -> None:
        if self.monitor not in logs:
            raise unknown_name("metric to monitor", self.monitor, logs)
        progress, value = self.progress, logs[self.monitor]
        if progress.best is None or gain(self.monitor, value, progress.best) > 0:
            progress.best, progress.best_epoch = value, progress.epoch
            # Without validation there is nothing to choose an epoch by: the last one counts.
            if self.monitor != "loss":
                self.best_weights = self.model.get_weights()
        elif self.config.patience is not None and progress.epoch - progress.best_epoch >= self.config.patience:
            progress.stopped = True

    def _variables(self) -> list[keras.Variable | tf.Variable]:
        return [*self.model.variables, *self.objective.state, *self.optimizer.variables, *self.averages]

    def _save(self, checkpoint: Path) -> None:
        write_checkpoint(checkpoint, self.progress, self._variables(), self.best_weights or [])


def _part(examples: ExampleTensors, start: int | tf.Tensor, end: int | tf.Tensor) -> ExampleTensors:
    """Some of the examples. They are a tensor or a dictionary of tensors."""
    return tf.nest.map_structure(lambda one: one[start:end], examples)


def _batch(examples: ExampleTensors, start: tf.Tensor, size: int) -> ExampleTensors:
    """So many examples, of a known shape."""
    return tf.nest.map_structure(lambda one: tf.slice(one, [start], [size]), examples)


def _padded(examples: ExampleTensors, size: int) -> ExampleTensors:
    """The examples and some that are none, so that XLA does not compile once more for the last call of an epoch."""
    return tf.nest.map_structure(lambda one: tf.pad(one, [[0, size - len(one)]]), examples)
