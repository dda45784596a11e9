"""What objectives share whose examples are users with all that they did."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.data.examples import Examples
from zoo.errors import UserError
from zoo.families import ItemLogits, Recommender
from zoo.memory import check_memory
from zoo.objectives.base import Batch, Objective
from zoo.schema import FIRST_KNOWN, PADDING

# What a step takes for every user and item. 19 to 21 bytes were measured, which are five numbers at a time.
BYTES_OF_A_PAIR = 24


class Histories(NamedTuple):
    """What the users of a batch did.

    Args:
        query: The query inputs that stand for it, `[n, *feature.shape]`.
        items: `[n, length]` int32 items, padded in front.
        ratings: `[n, length]` float32 ratings as the feature `history_rating` has them.
        is_event: `[n, length]` float32, 1 where there is an item and 0 for padding.
    """

    query: dict[str, tf.Tensor]
    items: tf.Tensor
    ratings: tf.Tensor
    is_event: tf.Tensor

    @property
    def is_liked(self) -> tf.Tensor:
        """`[n, length]` float32, 1 where the rating is above 0."""
        return self.is_event * tf.cast(self.ratings > 0, tf.float32)


class UserObjective(Objective):
    """An objective with one example a user of the training part.

    Args:
        model: The recommender to train, of the family item logits.
        dataset: The prepared data.
    """

    families = (ItemLogits,)

    def __init__(self, model: Recommender, dataset: Dataset) -> None:
        super().__init__(model, dataset)
        self._events = Examples(dataset, model.query_names)
        users = np.unique(self._events.users.numpy())
        self._users = tf.constant(users, tf.int32)
        self._ends = tf.constant(self._events.first.numpy()[users + 1], tf.int32)
        self.num_examples = len(users)

    def check_batch(self, size: int) -> None:
        """Raises a `UserError` if memory is too small for what a step makes of every user and item."""
        check_memory(
            f"A step over {min(size, self.num_examples):,} users and {self._events.num_items:,} items",
            min(size, self.num_examples) * self._events.num_items * BYTES_OF_A_PAIR,
            "Choose a smaller train.batch_size, leave out rare items, or choose an architecture with item vectors, "
            "e.g. ials or mf.",
        )

    def _check_likings(self) -> None:
        """Raises a `UserError` if nobody liked anything."""
        if not (self._events.labels.numpy() > 0).any():
            raise UserError(
                "No interaction of the training part has a label above 0, so there is nothing to reconstruct. "
                "Check data.label_threshold."
            )

    def _histories(self, batch: Batch) -> Histories:
        users, ends = tf.gather(self._users, batch.examples), tf.gather(self._ends, batch.examples)
        items, ratings = self._events.before(ends, users)
        is_event = tf.cast(items != PADDING, tf.float32)
        return Histories(self._events.query(ends, users), items, ratings, is_event)


def multinomial_losses(logits: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """The negative log likelihood of items under the softmax over the catalogue.

    Padding and unknown are no items, so they have no part in it.

    Args:
        logits: `[n, num_items]` float32.
        items: `[n, length]` int32.

    Returns:
        `[n, length]`.
    """
    normalizer = tf.reduce_logsumexp(logits[:, FIRST_KNOWN:], axis=1, keepdims=True)
    return normalizer - tf.gather(logits, items, axis=1, batch_dims=1)
