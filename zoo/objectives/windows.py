"""Windows of histories: what objectives share that train all positions of a sequence at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.data.examples import Events, Examples
from zoo.errors import UserError
from zoo.families import Recommender, Towers
from zoo.memory import check_memory
from zoo.objectives.base import Batch, Objective
from zoo.schema import FIRST_KNOWN, PADDING

# A logit, its softmax and the gradients of both are there at once.
BYTES_OF_A_LOGIT = 16
# Windows are encoded in at most so many groups of like size.
MOST_GROUPS = 3
# One group more is worth its while if it saves such a share of the events that are encoded.
LEAST_SAVING = 0.15


class Positions(NamedTuple):
    """What is predicted at the positions of a batch of windows.

    Args:
        vectors: `[n, dim]` query vectors.
        targets: `[n]` int32 items.
        windows: `[n]` int32 places of the windows in the batch.
        places: `[n]` int32 places within a window, counted from the end of the history, from 0.
    """

    vectors: tf.Tensor
    targets: tf.Tensor
    windows: tf.Tensor
    places: tf.Tensor


class WindowObjective(Objective):
    """Sequences cut into windows, so that an epoch is one pass over the events.

    A sequence longer than the history is cut into windows, each of which starts where the one before ends. Windows of a
    batch that are much shorter than the history are encoded apart from the others, without most of their padding.

    A subclass defines `loss`, and says by `needs_event_before` whether a target has an event before it.

    Args:
        model: The recommender to train.
        dataset: The prepared data, with timestamps.
    """

    families = (Towers,)
    # What the architecture must have, as it is called in messages.
    needs: ClassVar[str] = "positions"
    # Whether the history of a window ends before its last target, so that a user's first event is none.
    needs_event_before: ClassVar[bool] = True

    def __init__(self, model: Recommender, dataset: Dataset) -> None:
        super().__init__(model, dataset)
        if not self._can_train(model):
            raise UserError(
                f"Objective {self.name!r} needs an architecture with {self.needs}; {model.architecture!r} has none."
            )
        self._events = Examples(dataset, model.query_names)
        self._length = dataset.schema["history"].length or 1
        self._of_history = [name for name in model.query_names if dataset.schema[name].role == "history"]
        users, ends = self._windows()
        if not len(ends):
            raise UserError(f"Objective {self.name!r} needs users with at least two training interactions. Found none.")
        self._users, self._ends = tf.constant(users, tf.int32), tf.constant(ends, tf.int32)
        self.num_examples = len(ends)
        sizes = np.minimum(ends + 1 - self.needs_event_before - self._events.first.numpy()[users], self._length)
        self._groups = group_lengths(np.bincount(sizes, minlength=self._length + 1))
        self.events_of_window = float(sizes.mean())

    @classmethod
    def _can_train(cls, model: Recommender) -> bool:
        """Whether an architecture has what is trained."""
        return model.has_positions

    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """For every window its user and the position of its last target."""
        first = self._events.first.numpy()
        counts = np.diff(first)
        # A single event has no other that tells of it.
        windows = np.where(counts > 1, -(-(counts - self.needs_event_before) // self._length), 0)
        users = np.repeat(np.arange(len(counts)), windows)
        number = np.arange(len(users)) - np.repeat(np.cumsum(windows) - windows, windows)
        return users, first[users + 1] - 1 - number * self._length

    def _check_softmax(self, batch_size: int, share: float, instead: str) -> None:
        """Raises a `UserError` if memory is too small for the logits of all items at the positions of a step.

        Args:
            batch_size: Windows in a step.
            share: Share of the events of a window that are predicted.
            instead: What to do then.
        """
        positions = round(min(batch_size, self.num_examples) * self.events_of_window * share)
        check_memory(
            f"A step over {positions:,} positions and {self._events.num_items:,} items",
            positions * self._events.num_items * BYTES_OF_A_LOGIT,
            instead,
        )

    def _items(self) -> tf.Tensor:
        """Vectors of all items of the catalogue."""
        return self.model.encode_items(tf.range(FIRST_KNOWN, self._events.num_items), training=True)

    def _window_events(self, batch: Batch) -> Events:
        """The windows as samplers read events; each stands for all events of its user."""
        users = tf.gather(self._users, batch.examples)
        return Events(users, tf.zeros_like(users), tf.ones_like(users, tf.float32), {})

    def _encoded(
        self,
        encode: Callable[..., tf.Tensor],
        query: Mapping[str, tf.Tensor],
        targets: tf.Tensor,
        is_trained: tf.Tensor,
    ) -> Positions:
        """The positions that are trained, encoded.

        Args:
            encode: `encode_positions` of the model, or what else makes a vector of every place.
            query: The query inputs of the windows.
            targets: `[batch, length]` items.
            is_trained: `[batch, length]` bool.
        """
        sizes = tf.reduce_sum(tf.cast(query["history"] != PADDING, tf.int32), axis=1)
        found, shorter = [], 0
        for longest in self._groups:
            is_own = (sizes > shorter) & (sizes <= longest)
            # The first window stands in where a group has none, untrained, because an LSTM takes no empty batch.
            stands_in = ~tf.reduce_any(is_own) & (tf.range(tf.size(sizes)) == 0)
            windows = tf.where(is_own | stands_in)[:, 0]
            own = {name: tf.gather(values, windows) for name, values in query.items()}
            own |= {name: own[name][:, -longest:] for name in self._of_history}
            places = tf.where(tf.gather(is_trained & is_own[:, None], windows)[:, -longest:])
            vectors = tf.gather_nd(encode(own, training=True), places)
            windows, places = tf.gather(windows, places[:, 0]), self._length - longest + places[:, 1]
            items = tf.gather_nd(targets, tf.stack([windows, places], axis=1))
            found.append(Positions(vectors, items, tf.cast(windows, tf.int32), tf.cast(places, tf.int32)))
            shorter = longest
        return Positions(*(tf.concat(parts, axis=0) for parts in zip(*found, strict=True)))


class NextItemObjective(WindowObjective):
    """After every event of a sequence, the one that follows is predicted. A subclass defines `loss`.

    Args:
        model: The recommender to train: towers with `positions`.
        dataset: The prepared data, with timestamps.
    """

    def _positions(self, batch: Batch) -> Positions:
        """The positions of a batch of windows with the items that follow."""
        users, ends = tf.gather(self._users, batch.examples), tf.gather(self._ends, batch.examples)
        query = self._events.query(ends, users)
        targets, _ = self._events.before(ends + 1, users)
        # The first event of a user has nothing before it, so no position to be predicted from.
        is_trained = (query["history"] != PADDING) & (targets != PADDING)
        return self._encoded(self.model.encode_positions, query, targets, is_trained)


def softmax_losses(vectors: tf.Tensor, targets: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """`[n]` cross-entropies of targets among all items, given the vectors of positions and of items."""
    logits = tf.cast(tf.matmul(vectors, items, transpose_b=True), tf.float32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets - FIRST_KNOWN, logits=logits)


def group_lengths(counts: np.ndarray) -> list[int]:
    """The lengths to which windows are padded so that few places are padding.

    Args:
        counts: `[length + 1]`: how many windows there are of every size from 0 on. Those of size 0 do not count.

    Returns:
        At most `MOST_GROUPS` lengths, rising; a window belongs to the first one that it fits into. The last one is the
        largest size there is. A length more is taken if it saves at least `LEAST_SAVING` of the places.

    Example:

    >>> group_lengths(np.array([0, 90, 0, 0, 0, 0, 10]))
    [1, 6]
    """
    largest = int(np.flatnonzero(counts)[-1])
    total = np.cumsum(counts) - counts[0]
    # For every size the least places of all windows up to it, and the lengths that these take.
    least = [(int(total[size]) * size, [size]) for size in range(largest + 1)]
    best = least[largest]
    for _ in range(MOST_GROUPS - 1):
        least = [min([least[size], *_with_one_more(least, total, size)]) for size in range(largest + 1)]
        if least[largest][0] > (1 - LEAST_SAVING) * best[0]:
            break
        best = least[largest]
    return best[1]


def _with_one_more(least: list[tuple[int, list[int]]], total: np.ndarray, size: int) -> Iterator[tuple[int, list[int]]]:
    """The places of all windows up to a size, and their lengths, if those above a cut are padded to that size."""
    for cut in range(1, size):
        places, lengths = least[cut]
        yield places + int(total[size] - total[cut]) * size, [*lengths, size]
