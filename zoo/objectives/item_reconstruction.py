"""Item reconstruction: the interactions of an item go in, and should come out again for every user."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.families import Recommender, Towers
from zoo.objectives.base import OBJECTIVES, Batch, Objective, wants_ratings
from zoo.schema import FIRST_KNOWN


@OBJECTIVES.register
class ItemReconstruction(Objective):
    """One example an item, scored for every user at once by one matrix product.

    Args:
        model: The recommender to train: towers whose query is the user and nothing else.
        dataset: The prepared data.
        feedback: `"implicit"`: cross-entropy over all users, those who have seen the item against all others.
            `"explicit"`: squared error of the item's ratings, without all other users (AutoRec,
            Sedhain et al., 2015), or cross-entropy if the labels are 0 and 1.
    """

    name = "item_reconstruction"
    families = (Towers,)

    def __init__(self, model: Recommender, dataset: Dataset, feedback: str = "implicit") -> None:
        super().__init__(model, dataset)
        if model.query_names != ["user"]:
            raise UserError(
                f"Objective {self.name!r} needs an architecture that is asked by the user only; "
                f"{model.architecture!r} is asked by {', '.join(model.query_names)}."
            )
        self._implicit = feedback == "implicit"
        self._ratings = wants_ratings(feedback, model, dataset)
        rows = dataset.part("train")
        if self._implicit:
            rows = rows[rows["label"] > 0].drop_duplicates(["user", "item"])
            if rows.empty:
                raise UserError(
                    "No interaction of the training part has a label above 0, so there is no positive. "
                    "Check data.label_threshold."
                )
        rows = rows.sort_values("item", kind="stable")
        counts = np.bincount(rows["item"], minlength=dataset.num_items)
        # The events of item index i are first[i]:first[i] + counts[i].
        self._first = tf.constant(np.cumsum(counts) - counts, tf.int32)
        self._counts = tf.constant(counts, tf.int32)
        self._columns = tf.constant(rows["user"].to_numpy() - FIRST_KNOWN, tf.int32)
        self._labels = tf.constant(rows["label"].to_numpy(), tf.float32)
        self._items = tf.constant(np.flatnonzero(counts), tf.int32)
        self._users = tf.range(FIRST_KNOWN, dataset.num_users)
        self.num_examples = self._items.shape[0]

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of items, and how many users' opinions it sums up."""
        items = tf.gather(self._items, batch.examples)
        users = self.model.encode_query({"user": self._users}, training=True)
        codes = self.model.encode_items(items, training=True)
        scores = tf.cast(self.model.to_scores(tf.matmul(codes, users, transpose_b=True)), tf.float32)
        rows, events = self._events(items)
        rated = tf.gather_nd(scores, tf.stack([rows, tf.gather(self._columns, events)], axis=1))
        if self._implicit:
            # The cross-entropy of score s is softplus(s), and softplus(s) minus s for a positive.
            losses = tf.reduce_sum(tf.nn.softplus(scores)) - tf.reduce_sum(rated)
            return losses, tf.cast(tf.size(scores), tf.float32)
        labels = tf.gather(self._labels, events)
        losses = tf.square(rated - labels) if self._ratings else tf.nn.sigmoid_cross_entropy_with_logits(labels, rated)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)

    def _events(self, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All events of `[n]` items one after the other: the item's place in the batch, and the event's position."""
        counts = tf.gather(self._counts, items)
        rows = tf.repeat(tf.range(tf.size(items)), counts)
        before = tf.gather(tf.cumsum(counts, exclusive=True), rows)
        return rows, tf.gather(self._first, tf.gather(items, rows)) + tf.range(tf.size(rows)) - before
