"""Training interactions, from which queries and batches are put together inside the graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.data.dataset import Dataset, Part, neutral
from zoo.data.streamed import FIELDS, ROW, StreamedDataset
from zoo.schema import HISTORY_NAMES, SECONDS_A_DAY

# Some examples: their numbers, or the events themselves by name.
Numbers: TypeAlias = "np.ndarray | tf.Tensor"
Batch = TypeVar("Batch")


class Events(NamedTuple):
    """Interactions of a batch.

    Args:
        users: `[n]` int32 user indices.
        items: `[n]` int32 item indices.
        labels: `[n]` float32 labels.
        query: The query inputs that go with each, `[n, *feature.shape]`.
    """

    users: tf.Tensor
    items: tf.Tensor
    labels: tf.Tensor
    query: dict[str, tf.Tensor]


class TrainingEvents(Generic[Batch]):
    """Training interactions, each an example of its own.

    A subclass sets these attributes and defines `epoch` and `at`:

        num_examples: The number of examples.
        num_items: Rows of the item table.
        item_counts: `[num_item_rows]` examples of every item.
        users, items: int32; what users have seen, as far as that is in memory, by user.
        first: `[num_user_rows + 1]` int32; what user index `u` has seen is `first[u]:first[u + 1]`.
        signature: What `epoch` yields, as `tf.TensorSpec`s.
    """

    num_examples: int
    num_items: int
    item_counts: np.ndarray
    users: tf.Tensor
    items: tf.Tensor
    first: tf.Tensor
    signature: ClassVar[tf.TensorSpec | dict[str, tf.TensorSpec]]

    def epoch(self, seed: list[int], number: int) -> Iterator[Batch]:
        """All examples once, in a random order.

        Args:
            seed: What the order depends on.
            number: How many at a time.

        Yields:
            What `at` takes, `number` of it; the last ones may be fewer.
        """
        raise NotImplementedError

    def at(self, examples: Batch, completes: bool = False) -> Events:
        """The events of a batch with their queries.

        Args:
            examples: What `epoch` yields, or some of it.
            completes: Whether an event is to complete the rest of its user's history, rather than to
                follow what came before it.

        Returns:
            Their `Events`.
        """
        raise NotImplementedError


class Examples(TrainingEvents[Numbers]):
    """The training events of every user, oldest first, and the query that stood before any of them.

    Args:
        dataset: The prepared data; its part `"train"` is used.
        query_names: The query inputs of the model.
        positives: Whether only events with a label above 0 are examples (see `at`).
        known: Parts whose events stand in histories beside those of training, and are no examples.
    """

    signature = tf.TensorSpec([None], tf.int32)

    def __init__(
        self, dataset: Dataset, query_names: list[str], positives: bool = False, known: Sequence[Part] = ()
    ) -> None:
        rows = dataset.part("train", *known)
        order = np.argsort(rows["user"].to_numpy(), kind="stable")
        rows = rows.iloc[order]
        self.num_items = dataset.num_items
        self.users = tf.constant(rows["user"].to_numpy(), tf.int32)
        self.items = tf.constant(rows["item"].to_numpy(), tf.int32)
        self.labels = tf.constant(rows["label"].to_numpy(), tf.float32)
        is_example = ((rows["part"] == "train") & (rows["label"] > 0 if positives else True)).to_numpy()
        self.examples = tf.constant(np.flatnonzero(is_example), tf.int32)
        self.num_examples = int(is_example.sum())
        counts = np.bincount(rows["user"].to_numpy(), minlength=dataset.num_users)
        # The events of user index u are first[u]:first[u + 1].
        self.first = tf.constant(np.concatenate([[0], np.cumsum(counts)]), tf.int32)
        self._query_names = query_names
        self._tables = _user_tables(dataset, query_names)
        self._context = _context_of_events(dataset, query_names, rows)
        if "history" in dataset.schema:
            self._length = dataset.schema["history"].length
            self._ratings = tf.constant(dataset.event_ratings(rows), tf.float32)
        if "history_age" in query_names:
            # The moment after a user's last event stands behind those of the events, as its context does.
            self._times = tf.constant([*rows["timestamp"], dataset.now], tf.float64)

    @cached_property
    def item_counts(self) -> np.ndarray:  # type: ignore[override]
        """See `TrainingEvents`. It is made only when asked for, because it takes long for a large catalogue."""
        return np.bincount(tf.gather(self.items, self.examples), minlength=self.num_items)

    def __len__(self) -> int:
        """The number of training events."""
        return self.users.shape[0]

    def epoch(self, seed: list[int], number: int) -> Iterator[Numbers]:
        """The numbers of all examples; see `TrainingEvents.epoch`."""
        return in_random_order(self.num_examples, seed, number)

    def at(self, examples: Numbers, completes: bool = False) -> Events:
        """The events with the given example numbers, `[n]`; see `TrainingEvents.at`."""
        events = tf.gather(self.examples, examples)
        users = tf.gather(self.users, events)
        query = self.query(events, users, completes)
        return Events(users, tf.gather(self.items, events), tf.gather(self.labels, events), query)

    def query(self, events: tf.Tensor, users: tf.Tensor, completes: bool = False) -> dict[str, tf.Tensor]:
        """The query tensors that go with each event.

        Args:
            events: `[batch]` positions among the events of this class; the position after a user's last
                event stands for the user's whole history.
            users: `[batch]` user indices.
            completes: Whether an event is to complete the rest of its user's history, rather than to
                follow what came before it.

        Returns:
            One tensor an input, `[batch, *feature.shape]`.
        """
        query = {"user": users}
        # After a user's last event the context is not known; its row stands behind those of the events.
        at = tf.where(events < tf.gather(self.first, users + 1), events, len(self))
        if set(HISTORY_NAMES) & set(self._query_names):
            positions = self._other_positions(events, users) if completes else self._positions_before(events)
            query |= self._history(positions, users, at)
        query |= {name: tf.gather(table, users) for name, table in self._tables.items()}
        query |= {name: tf.gather(values, at) for name, values in self._context.items()}
        return {name: query[name] for name in self._query_names}

    def _history(self, positions: tf.Tensor, users: tf.Tensor, at: tf.Tensor) -> dict[str, tf.Tensor]:
        """The history features of events at positions, as they stood at other events."""
        items, ratings = self._events_at(positions, users)
        history = {"history": items, "history_rating": ratings}
        if "history_age" in self._query_names:
            history["history_age"] = self._ages(positions, users, at)
        return history

    def before(self, events: tf.Tensor, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items and scaled ratings of the events before the given ones, `[batch, length]`, padded in front."""
        return self._events_at(self._positions_before(events), users)

    def _positions_before(self, events: tf.Tensor) -> tf.Tensor:
        return events[:, None] - self._length + tf.range(self._length)

    def _other_positions(self, events: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
        """The positions of each user's last events, except the given one."""
        positions = tf.gather(self.first, users + 1)[:, None] - self._length + tf.range(self._length)
        # Leaving the event out moves all before it up by one place.
        return positions - tf.cast(positions <= events[:, None], tf.int32)

    def _events_at(self, positions: tf.Tensor, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        exists = self._exist(positions, users)
        positions = tf.where(exists, positions, 0)
        items = tf.where(exists, tf.gather(self.items, positions), 0)
        return items, tf.where(exists, tf.gather(self._ratings, positions), 0.0)

    def _ages(self, positions: tf.Tensor, users: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
        """Days from the events at positions to the moment of another one; 0 where there is none, or it came later."""
        exists = self._exist(positions, users)
        seconds = tf.gather(self._times, at)[:, None] - tf.gather(self._times, tf.where(exists, positions, 0))
        return tf.where(exists, tf.cast(tf.maximum(seconds, 0.0) / SECONDS_A_DAY, tf.float32), 0.0)

    def _exist(self, positions: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
        return positions >= tf.gather(self.first, users)[:, None]


class StreamedExamples(TrainingEvents[dict[str, tf.Tensor]]):
    """Training events that are in files: a batch brings its own along.

    None are in memory, so for all that is known here no user has seen anything: negatives are drawn from the
    whole catalogue, and are what their user has seen as rarely as the catalogue is large.

    Args:
        dataset: The prepared data.
        query_names: The query inputs of the model; no histories and no context features.
        positives: Whether only events with a label above 0 are examples.

    Raises:
        UserError: If the training interactions are not there any more.
    """

    signature: ClassVar[dict[str, tf.TensorSpec]] = {
        name: tf.TensorSpec([None], tf.as_dtype(ROW[name])) for name in FIELDS
    }

    def __init__(self, dataset: StreamedDataset, query_names: list[str], positives: bool = False) -> None:
        dataset.shards.check()
        self.num_items = dataset.num_items
        self.item_counts = dataset.positive_counts if positives else dataset.item_counts
        self.num_examples = int(self.item_counts.sum())
        self.users = self.items = tf.zeros([0], tf.int32)
        self.first = tf.zeros([dataset.num_users + 1], tf.int32)
        self._shards, self._positives, self._query_names = dataset.shards, positives, query_names
        self._tables = _user_tables(dataset, query_names)

    def epoch(self, seed: list[int], number: int) -> Iterator[dict[str, tf.Tensor]]:
        """Tensors `"user"`, `"item"` and `"label"` of all events, read while others are trained on."""

        def events() -> Iterator[dict[str, np.ndarray]]:
            for rows in self._shards.batches(seed, number, self._positives):
                yield {name: np.ascontiguousarray(rows[name]) for name in FIELDS}

        return iter(tf.data.Dataset.from_generator(events, output_signature=self.signature).prefetch(2))

    def at(self, examples: dict[str, tf.Tensor], completes: bool = False) -> Events:
        """The events that these are, with their queries; see `TrainingEvents.at`."""
        users = examples["user"]
        query = {"user": users, **{name: tf.gather(table, users) for name, table in self._tables.items()}}
        return Events(users, examples["item"], examples["label"], {name: query[name] for name in self._query_names})


def make_examples(dataset: Dataset, query_names: list[str], positives: bool = False) -> TrainingEvents:
    """The training events of a dataset, wherever they are.

    Args:
        dataset: The prepared data.
        query_names: The query inputs of the model.
        positives: Whether only events with a label above 0 are examples.

    Returns:
        `StreamedExamples` for a `StreamedDataset`, else `Examples`.
    """
    if isinstance(dataset, StreamedDataset):
        return StreamedExamples(dataset, query_names, positives)
    return Examples(dataset, query_names, positives, known=("query",))


def in_random_order(num_examples: int, seed: list[int], number: int) -> Iterator[np.ndarray]:
    """Numbers of examples, each once.

    Args:
        num_examples: How many there are.
        seed: What their order depends on.
        number: How many at a time.

    Yields:
        int32 `[number]`; the last ones may be shorter.
    """
    order = np.random.default_rng(seed).permutation(num_examples).astype(np.int32)
    for start in range(0, num_examples, number):
        yield order[start : start + number]


def _context_of_events(dataset: Dataset, query_names: list[str], rows: pd.DataFrame) -> dict[str, tf.Tensor]:
    """The context features that a query has, by name: one row an event, and one that says nothing behind them."""
    features = [dataset.schema[name] for name in query_names]
    return {
        f.name: tf.constant(np.stack([*rows[f.name], neutral(f)]), f.dtype) for f in features if f.role == "context"
    }


def _user_tables(dataset: Dataset, query_names: list[str]) -> dict[str, tf.Tensor]:
    """The features of users that a query has, by name, one row an index."""
    features = [dataset.schema[name] for name in query_names]
    return {f.name: tf.constant(dataset.users[f.name]) for f in features if f.role == "user" and f.name != "user"}
