"""What the training loop asks of an objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar, TypeAlias

import keras
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.data.examples import Events, in_random_order, make_examples
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.options import options_of
from zoo.registries import Registry

# Numbers of examples, or the examples themselves where data is streamed.
ExampleTensors: TypeAlias = tf.Tensor | dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Batch:
    """One replica's share of a batch, and draws that do not depend on how many replicas there are.

    Args:
        examples: `[n]` example numbers of this replica, or a dictionary of tensors for streamed data.
        seed: `[2]` int32 seed of everything drawn in this step, the same on every replica.
        rows: `[n]` int32 places of these examples in the whole batch.
        size: Scalar int32, the examples of the whole batch over all replicas.
        whole: `[size]` example numbers of the whole batch, for objectives that compare its examples with each other.
            If it is not given, such an objective takes each replica's share for a batch.
        passes: Scalar float32, the passes over all examples before this step, e.g. 2.5 in the middle of the third one.
        phase: What `Objective.begin_epoch` gave.

    Example:

    >>> batch = Batch(tf.constant([7, 3]), tf.constant([0, 1]), tf.range(2), tf.constant(2))
    >>> batch.uniform(4).shape
    TensorShape([2, 4])
    """

    examples: ExampleTensors
    seed: tf.Tensor
    rows: tf.Tensor
    size: tf.Tensor
    whole: ExampleTensors | None = None
    passes: tf.Tensor | float = 0.0
    phase: str = ""

    def uniform(self, *shape: int, salt: int = 0, dtype: tf.DType = tf.float32) -> tf.Tensor:
        """Draws in [0, 1) for each example. They are drawn for the whole batch, and this replica's rows are taken.

        Args:
            *shape: The shape of one example's draws.
            salt: Tells draws of one step from each other.
            dtype: float32 or float64.

        Returns:
            `[n, *shape]`.
        """
        return tf.gather(_uniform((self.size, *shape), self.salted(salt), dtype), self.rows)

    def shared_uniform(self, *shape: int, salt: int = 0, dtype: tf.DType = tf.float32) -> tf.Tensor:
        """Draws in [0, 1) that all examples share, the same on every replica.

        Args:
            *shape: The shape of the draws.
            salt: Tells draws of one step from each other.
            dtype: float32 or float64.

        Returns:
            `shape`.
        """
        return _uniform(shape, self.salted(salt), dtype)

    def salted(self, salt: int) -> tf.Tensor:
        """A `[2]` seed of its own for every salt, the same on every replica."""
        return tf.random.experimental.stateless_fold_in(self.seed, salt, alg="philox")

    def companions(self) -> tuple[ExampleTensors, tf.Tensor]:
        """The examples that this replica compares its own with, and the places of its own among them."""
        if self.whole is None:
            return self.examples, tf.range(tf.size(self.rows))
        return self.whole, self.rows


def _uniform(shape: tf.Tensor | tuple[int | tf.Tensor, ...], seed: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Draws in [0, 1) that are the same on every device and under XLA, because they are made of whole numbers."""
    kind, bits = (tf.int64, 53) if dtype == tf.float64 else (tf.int32, 24)
    draws = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=kind, alg="philox")
    return tf.cast(tf.bitwise.bitwise_and(draws, 2**bits - 1), dtype) * 2.0**-bits


class Objective:
    """Examples and their loss.

    A subclass sets `num_examples`, one pass over which is an epoch, and defines `loss`. Its options are the further
    parameters of its constructor, whose annotations are checked. It is found by its name once it is registered.

    Args:
        model: The recommender to train.
        dataset: The prepared data.

    Example:

    ```python
    @OBJECTIVES.register
    class Shy(BPR):
        name = "shy"

        def loss(self, batch):
            total, pairs = super().loss(batch)
            return total / 2, pairs
    ```
    """

    # Its name in `train.objective`.
    name: ClassVar[str]
    # The families of architectures that it trains.
    families: ClassVar[tuple[type[Recommender], ...]] = (Recommender,)
    # Whether it trains on streamed data, which are single interactions.
    is_streamable: ClassVar[bool] = False
    # The name of the objective that stands in for it, by a sample, where the catalogue is large; none by default.
    sampled: ClassVar[str] = ""
    num_examples: int
    # The mean number of events of an example, if it is a window of a history.
    events_of_window: float = 0.0

    # The form of what `epoch` yields.
    signature: tf.TensorSpec | dict[str, tf.TensorSpec] = tf.TensorSpec([None], tf.int32)

    def __init__(self, model: Recommender, dataset: Dataset) -> None:
        self.model = model

    @classmethod
    def learns_labels(cls, options: Mapping[str, object], dataset: Dataset) -> bool:
        """Whether the labels of interactions are the targets. Otherwise the target is which items were chosen.

        Args:
            options: Options of the objective, not yet checked.
            dataset: The prepared data.
        """
        return options.get("feedback") == "explicit"

    @classmethod
    def most_items(cls, known: int) -> dict[str, int]:
        """The options that say how many different items are drawn at once, with the most that a catalogue allows.

        By default that is `shared`, if the constructor takes it.

        Args:
            known: How many items the catalogue has.
        """
        return {"shared": known} if "shared" in options_of(cls) else {}

    def epoch(self, seed: list[int], number: int) -> Iterator[ExampleTensors]:
        """The examples of an epoch. By default these are their numbers, see `in_random_order`."""
        return in_random_order(self.num_examples, seed, number)

    def check_batch(self, size: int) -> None:
        """Raises a `UserError` if memory is too small for a step of so many examples. By default none is."""

    @property
    def state(self) -> list[keras.Variable]:
        """Variables beside those of the model that training reads and changes. They are part of a checkpoint."""
        return []

    def begin_epoch(self, number: int) -> str:
        """Called before every epoch, counted from 0. It gives the phase that the epoch is of.

        The steps of every phase are compiled anew, so what a phase does may depend on it in plain Python. By default
        all epochs are of one phase.
        """
        return ""

    def trained_weights(self, phase: str) -> list[keras.Variable]:
        """The weights that epochs of a phase train; by default all of the model."""
        return self.model.trainable_variables

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch, as a graph operation.

        Args:
            batch: The examples, numbered below `num_examples`, and the seed of this step.

        Returns:
            Two float32 scalars: the sum of the examples' losses, and the weight to divide it by once both
            are summed over all replicas. Where the weight is 0, the sum is 0 too.
        """
        raise NotImplementedError


OBJECTIVES: Registry[type[Objective]] = Registry("objective", "zoo.objectives", "zoo.objectives")


class EventObjective(Objective):
    """An objective whose examples are single interactions.

    Args:
        model: The recommender to train.
        dataset: The prepared data.
        positives: Whether only interactions with a label above 0 are examples.
    """

    is_streamable = True

    def __init__(self, model: Recommender, dataset: Dataset, positives: bool = True) -> None:
        super().__init__(model, dataset)
        self._events = make_examples(dataset, model.query_names, positives)
        self.num_examples, self.signature = self._events.num_examples, self._events.signature
        if not self.num_examples:
            raise UserError(
                "No interaction of the training part has a label above 0, so there is no positive. "
                "Check data.label_threshold."
            )
        # The test part decides: a split in time asks to continue a history, any other to complete it.
        self._completes = not dataset.is_split_in_time

    def epoch(self, seed: list[int], number: int) -> Iterator[ExampleTensors]:
        """The interactions of an epoch, see `TrainingEvents.epoch`."""
        return self._events.epoch(seed, number)

    def _at(self, examples: ExampleTensors) -> Events:
        return self._events.at(examples, self._completes)


def check_at_least(name: str, value: float, least: float) -> None:
    """Raises a `UserError` for an option below its least value."""
    if not value >= least:
        raise UserError(f"{name} must be at least {least}. Received: {value}.")


def wants_ratings(feedback: str, model: Recommender, dataset: Dataset) -> bool:
    """Whether labels are regressed as ratings, in which case the model's scores become ratings.

    Args:
        feedback: `"implicit"` (every interaction with a label above 0 is a positive) or `"explicit"`
            (the labels are the targets).
        model: The recommender to train.
        dataset: The prepared data.

    Returns:
        `False` for implicit feedback and for explicit labels of 0 and 1.
    """
    if feedback not in ("implicit", "explicit"):
        raise UserError(f"feedback must be 'implicit' or 'explicit', or 'auto' for pointwise. Received: {feedback!r}.")
    if feedback == "implicit" or is_binary(dataset):
        return False
    model.set_rating_scale(*dataset.label_scale)
    return True


def usual_feedback(dataset: Dataset) -> str:
    """`"explicit"` where labels of 0 and 1 say what was liked and what not, else `"implicit"`."""
    return "explicit" if is_binary(dataset) else "implicit"


def is_binary(dataset: Dataset) -> bool:
    """Whether the labels are zeros and ones, both present."""
    return dataset.has_binary_labels
