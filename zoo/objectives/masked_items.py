"""Masked items: some items of a history are hidden, and the others tell which."""

from __future__ import annotations

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Batch
from zoo.objectives.windows import WindowObjective, softmax_losses
from zoo.schema import PADDING

# Salts that make the draws of one step differ.
EACH, ONLY_LAST = 1, 2


@OBJECTIVES.register
class MaskedItems(WindowObjective):
    """Softmax over the whole catalogue at every hidden item (BERT4Rec, Sun et al., 2019, arXiv:1904.06690).

    A window hides at least one item: the last one, if chance chooses none.

    Args:
        model: The recommender to train: towers with `masked_positions`.
        dataset: The prepared data, with timestamps.
        share: Share of items that are hidden.
        only_last: Share of windows that hide the last item and no other, as a query does.
    """

    name = "masked_items"
    needs = "masked positions"
    needs_event_before = False

    def __init__(self, model: Recommender, dataset: Dataset, share: float = 0.2, only_last: float = 0.1) -> None:
        for name, value in (("share", share), ("only_last", only_last)):
            if not 0 <= value <= 1:
                raise UserError(f"{name} must be between 0 and 1. Received: {value}.")
        super().__init__(model, dataset)
        self._share, self._only_last = share, only_last

    @classmethod
    def _can_train(cls, model: Recommender) -> bool:
        return model.has_masked_positions

    def check_batch(self, size: int) -> None:
        """Raises a `UserError` if memory is too small for the logits of a step."""
        self._check_softmax(
            size, self._share, "Choose a smaller train.batch_size, or sasrec with train.objective=next_item_sampled."
        )

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of windows, and how many hidden items it sums up."""
        users, ends = tf.gather(self._users, batch.examples), tf.gather(self._ends, batch.examples)
        query = self._events.query(ends + 1, users)
        items = query["history"]
        is_hidden = self._hidden(items, batch)
        query["history"] = tf.where(is_hidden, self._events.num_items, items)
        found = self._encoded(self.model.encode_masked_positions, query, items, is_hidden)
        losses = softmax_losses(found.vectors, found.targets, self._items())
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)

    def _hidden(self, items: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Which items are hidden, `[batch, length]` bool."""
        is_hidden = (batch.uniform(self._length, salt=EACH) < self._share) & (items != PADDING)
        is_last = tf.range(self._length) == self._length - 1
        hides_last = batch.uniform(1, salt=ONLY_LAST) < self._only_last
        hides_last |= ~tf.reduce_any(is_hidden, axis=1, keepdims=True)
        return tf.where(hides_last, is_last, is_hidden)
