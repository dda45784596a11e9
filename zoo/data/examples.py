"""Training interactions as tensors, from which queries and batches are put together inside the graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset, neutral


class Examples:
    """The training events of every user, oldest first, and the query that stood before any of them.

    Args:
        dataset: The prepared data; its part `"train"` is used.
        query_names: The query inputs of the model.
    """

    def __init__(self, dataset: Dataset, query_names: list[str]) -> None:
        rows = dataset.part("train")
        order = np.argsort(rows["user"].to_numpy(), kind="stable")
        rows = rows.iloc[order]
        self.num_items = dataset.num_items
        self.users = tf.constant(rows["user"].to_numpy(), tf.int32)
        self.items = tf.constant(rows["item"].to_numpy(), tf.int32)
        self.labels = tf.constant(rows["label"].to_numpy(), tf.float32)
        counts = np.bincount(rows["user"].to_numpy(), minlength=dataset.num_users)
        # The events of user index u are first[u]:first[u + 1].
        self.first = tf.constant(np.concatenate([[0], np.cumsum(counts)]), tf.int32)
        features = [dataset.schema[name] for name in query_names]
        self._query_names = query_names
        self._tables = {
            f.name: tf.constant(dataset.users[f.name]) for f in features if f.role == "user" and f.name != "user"
        }
        self._context = {
            f.name: tf.constant(np.stack([*rows[f.name], neutral(f)]), f.dtype) for f in features if f.role == "context"
        }
        if "history" in dataset.schema:
            self._length = dataset.schema["history"].length
            self._largest_rating = dataset.schema["history_rating"].std

    def __len__(self) -> int:
        """The number of training events."""
        return self.users.shape[0]

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
        if {"history", "history_rating"} & set(self._query_names):
            history = self.others(events, users) if completes else self.before(events, users)
            query["history"], query["history_rating"] = history
        query.update({name: tf.gather(table, users) for name, table in self._tables.items()})
        # After a user's last event the context is not known; its row stands behind those of the events.
        at = tf.where(events < tf.gather(self.first, users + 1), events, len(self))
        query.update({name: tf.gather(values, at) for name, values in self._context.items()})
        return {name: query[name] for name in self._query_names}

    def others(self, events: tf.Tensor, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items and scaled ratings of each user's last events but the given one, `[batch, length]`."""
        positions = tf.gather(self.first, users + 1)[:, None] - self._length + tf.range(self._length)
        # Leaving the event out moves all before it up by one place.
        positions -= tf.cast(positions <= events[:, None], tf.int32)
        return self._events_at(positions, users)

    def before(self, events: tf.Tensor, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items and scaled ratings of the events before the given ones, `[batch, length]`, padded in front."""
        positions = events[:, None] - self._length + tf.range(self._length)
        return self._events_at(positions, users)

    def _events_at(self, positions: tf.Tensor, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        exists = positions >= tf.gather(self.first, users)[:, None]
        positions = tf.where(exists, positions, 0)
        items = tf.where(exists, tf.gather(self.items, positions), 0)
        ratings = tf.where(exists, tf.gather(self.labels, positions) / self._largest_rating, 0.0)
        return items, ratings
