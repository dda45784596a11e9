"""Keras optimizers that update embedding tables by row, so that a step costs what its batch costs.

The gradient of a table is zero except in the rows that a batch looked up. A dense optimizer still walks over the
whole table; these update the looked-up rows and leave all others, and their moments, untouched. Rows that are
looked up more than once have their gradients summed first.

A row that is looked up in every step is updated exactly as by the dense optimizer. For all others the two differ
where the dense one changes a row without a gradient:

- Adam: the moments of a row decay, and the row moves on with them, only in steps that look it up.
- weight decay and L2: a row shrinks only in steps that look it up.

SGD without either, and Adagrad, are the same for all rows. Keras' other optimizers can be named too; they stay dense.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UserError, unknown_name
from zoo.keras_internals import GradientsSummedBefore, slot_of

if TYPE_CHECKING:
    from zoo.config import TrainConfig


# The gradient of a weight; of a table, it may be that of the looked-up rows only.
Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class RowWise(GradientsSummedBefore):
    """Mixed into a Keras optimizer: rows for tables, the optimizer's own update for everything else.

    Args:
        decay: Decoupled weight decay: every updated weight first loses `learning_rate * decay` of itself.
        l2: Adds `l2 * weight` to the gradient of every updated weight.
        **kwargs: Arguments of the Keras optimizer.
    """

    # Numbers kept beside each weight.
    slots = 2

    def __init__(self, decay: float = 0.0, l2: float = 0.0, **kwargs: object) -> None:
        # Some of Keras' have a weight decay that nobody asked for.
        super().__init__(weight_decay=None, **kwargs)
        self.decay, self.l2 = decay, l2

    def update_step(self, gradient: Gradient, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable. A `tf.IndexedSlices` gradient updates its rows only; see `takes_duplicates`."""
        rate = tf.cast(learning_rate, variable.dtype)
        if not isinstance(gradient, tf.IndexedSlices):
            if self.l2:
                gradient += self.l2 * variable
            if self.decay:
                variable.assign_sub(rate * self.decay * variable)
            super().update_step(gradient, variable, learning_rate)
            return
        rows, gradient = gradient.indices, gradient.values
        weights = tf.gather(variable, rows)
        if self.l2:
            gradient += self.l2 * weights
        change = self.row_change(rows, gradient, variable, rate)
        if self.decay:
            change += rate * self.decay * weights
        variable.scatter_update(tf.IndexedSlices(weights - change, rows))

    def row_change(self, rows: tf.Tensor, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor) -> tf.Tensor:
        """The change that is subtracted from rows of a table, `[n, dim]`. The state of the rows is updated."""
        raise NotImplementedError

    @property
    def takes_duplicates(self) -> bool:
        """Whether a row may come more than once in a sparse gradient. If not, `sum_duplicates` must be called first."""
        return False


class Dense(RowWise):
    """Mixed into a Keras optimizer that has no update by row."""

    # At most two, and the gradient of all rows.
    slots = 3

    def update_step(self, gradient: Gradient, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable, all of it."""
        super().update_step(tf.convert_to_tensor(gradient), variable, learning_rate)


class SGD(RowWise, keras.optimizers.SGD):
    """Stochastic gradient descent by row."""

    slots = 0

    @property
    def takes_duplicates(self) -> bool:
        """Whether an update is the gradient and nothing else, so that it does not matter in how many parts it comes."""
        return not (self.l2 or self.decay)

    def update_step(self, gradient: Gradient, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable."""
        if isinstance(gradient, tf.IndexedSlices) and self.takes_duplicates:
            rate = tf.cast(learning_rate, variable.dtype)
            variable.scatter_sub(tf.IndexedSlices(rate * gradient.values, gradient.indices))
        else:
            super().update_step(gradient, variable, learning_rate)

    def row_change(self, rows: tf.Tensor, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor) -> tf.Tensor:
        """The gradient, scaled."""
        return rate * gradient


class Adagrad(RowWise, keras.optimizers.Adagrad):
    """Adagrad by row (Duchi et al., 2011)."""

    slots = 1

    def row_change(self, rows: tf.Tensor, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor) -> tf.Tensor:
        """The gradient over the root of all squared ones so far."""
        slot = slot_of(self, "accumulators", variable)
        accumulated = tf.gather(slot, rows) + tf.square(gradient)
        slot.scatter_update(tf.IndexedSlices(accumulated, rows))
        return rate * gradient / tf.sqrt(accumulated + self.epsilon)


class Adam(RowWise, keras.optimizers.Adam):
    """Adam by row (Kingma and Ba, 2015, arXiv:1412.6980), also known as lazy Adam."""

    def row_change(self, rows: tf.Tensor, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor) -> tf.Tensor:
        """The mean gradient over the root of the mean square, both corrected for their start at zero."""
        means, squares = slot_of(self, "momentums", variable), slot_of(self, "velocities", variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        mean = tf.gather(means, rows)
        mean += (1 - self.beta_1) * (gradient - mean)
        square = tf.gather(squares, rows)
        square += (1 - self.beta_2) * (tf.square(gradient) - square)
        means.scatter_update(tf.IndexedSlices(mean, rows))
        squares.scatter_update(tf.IndexedSlices(square, rows))
        corrected = rate * tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        return corrected * mean / (tf.sqrt(square) + self.epsilon)


# AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) is Adam with weight decay, which is a setting of its own here.
OPTIMIZERS: dict[str, type[RowWise]] = {"adagrad": Adagrad, "adam": Adam, "adamw": Adam, "sgd": SGD}


def make_optimizer(config: TrainConfig, total_steps: int) -> RowWise:
    """The optimizer that a config names, with its learning-rate schedule.

    Args:
        config: The training settings.
        total_steps: Steps of the whole training, over which a schedule falls.

    Raises:
        UserError: If the optimizer is unknown (the message has the near names), or has no `epsilon` and one is given.
    """
    kinds = {**_dense_optimizers(), **OPTIMIZERS}
    name = config.optimizer.lower()
    if name not in kinds:
        raise unknown_name("optimizer", config.optimizer, kinds)
    settings: dict[str, float] = {"decay": config.weight_decay, "l2": config.l2}
    if config.epsilon is not None:
        if not hasattr(kinds[name](), "epsilon"):
            raise UserError(f"train.epsilon does nothing with train.optimizer={config.optimizer}. Leave it out.")
        settings["epsilon"] = config.epsilon
    return kinds[name](learning_rate=learning_rate(config, total_steps), **settings)


def _dense_optimizers() -> dict[str, type[RowWise]]:
    """Keras' own optimizers, by name, which update every row of a table in every step."""
    base = keras.optimizers.Optimizer
    kinds = {name: kind for name, kind in vars(keras.optimizers).items() if isinstance(kind, type)}
    return {
        name.lower(): type(name, (Dense, kind), {})
        for name, kind in kinds.items()
        # An optimizer that wraps another one has no learning rate of its own.
        if issubclass(kind, base) and kind is not base and "learning_rate" in inspect.signature(kind).parameters
    }


def learning_rate(config: TrainConfig, total_steps: int) -> float | Schedule:
    """The constant learning rate of a config, or its schedule: a linear warm-up, then what the schedule says."""
    if config.schedule == "constant" and not config.warmup_steps:
        return config.learning_rate
    return Schedule(config.learning_rate, config.schedule, config.warmup_steps, total_steps)


@keras.saving.register_keras_serializable("recozoo")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly to its peak, then stays or falls to zero by the last step.

    Args:
        peak: The highest learning rate.
        kind: `"constant"`, `"linear"` or `"cosine"` (Loshchilov and Hutter, 2017, arXiv:1608.03983).
        warmup_steps: Steps of the rise.
        total_steps: Steps of the whole training.
    """

    def __init__(self, peak: float, kind: str, warmup_steps: int, total_steps: int) -> None:
        self.peak, self.kind, self.warmup_steps, self.total_steps = peak, kind, warmup_steps, total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate of a step, counted from 0."""
        step = tf.cast(step, tf.float32)
        rise = tf.minimum((step + 1) / max(self.warmup_steps, 1), 1.0)
        passed = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        passed = tf.clip_by_value(passed, 0.0, 1.0)
        fall = {"constant": 1.0, "linear": 1 - passed, "cosine": 0.5 * (1 + tf.cos(np.pi * passed))}[self.kind]
        return self.peak * rise * fall

    def get_config(self) -> dict[str, float | str]:
        """The arguments."""
        return dict(vars(self))


def sum_duplicates(gradient: Gradient) -> Gradient:
    """Sums what a sparse gradient has of the same row; leaves a dense one as it is."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, place = tf.unique(gradient.indices)
    summed = tf.math.unsorted_segment_sum(gradient.values, place, tf.shape(rows)[0])
    return tf.IndexedSlices(summed, rows, gradient.dense_shape)


def scaled(gradient: tf.Tensor | tf.IndexedSlices, factor: tf.Tensor) -> tf.Tensor | tf.IndexedSlices:
    """A gradient times a factor; of a gradient by rows, only those rows."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor
