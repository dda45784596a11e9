"""Losses that stand for message passing over a graph (UltraGCN, Mao et al., 2021, arXiv:2110.15114)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy.sparse import csr_matrix

from zoo.data.dataset import Dataset
from zoo.families import Recommender, Towers
from zoo.objectives.base import OBJECTIVES, Batch, EventObjective, check_at_least
from zoo.objectives.samplers import ALPHA, CANDIDATES, make_sampler
from zoo.objectives.scoring import check_l2, l2_penalty, score
from zoo.solvers.cooccurrence import closest_items, settled_shares


@OBJECTIVES.register
class GraphConstraints(EventObjective):
    """Cross-entropy of users and items, weighted as endless rounds would, and of users and items like those they liked.

    A pair of a user and an item weighs `base + user_item * beta`, as a positive and as a negative, where `beta` is
    what the item counts for the user once the rounds have settled. Each positive item also draws the items to its
    user that are liked along with it most, `-omega * log sigmoid` of their scores.

    Args:
        model: The recommender to train; towers.
        dataset: The prepared data; interactions with a label above 0 are positives.
        negatives: What the negatives of a positive weigh together.
        shared: Negatives that a batch shares; or 0: each positive has `negatives` of its own.
        sampler: See `Pointwise`.
        alpha: See `Pointwise`.
        candidates: See `Pointwise`.
        base: Weight of every pair by itself.
        user_item: Weight of `beta`.
        item_item: Weight of the loss of items that are liked along with a positive.
        neighbors: How many such items a positive has.
        l2: See `Pointwise`.
    """

    name = "graph_constraints"
    families = (Towers,)
    is_streamable = False

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        negatives: int = 8,
        shared: int = 0,
        sampler: str = "uniform",
        alpha: float = ALPHA,
        candidates: int = CANDIDATES,
        base: float = 1.0,
        user_item: float = 1.0,
        item_item: float = 1.0,
        neighbors: int = 10,
        l2: float = 0.0,
    ) -> None:
        super().__init__(model, dataset)
        check_l2(model, l2)
        for name, value in (("base", base), ("user_item", user_item), ("item_item", item_item)):
            check_at_least(name, value, 0)
        check_at_least("neighbors", neighbors, 1)
        self._sampler = make_sampler(sampler, self._events, model, negatives, alpha, candidates, shared)
        self._base, self._user_item, self._item_item, self._l2 = base, user_item, item_item, l2
        liked = _liked(dataset)
        self._shares = [tf.constant(shares, tf.float32) for shares in settled_shares(liked)]
        closest, weights = closest_items(liked, neighbors)
        self._closest, self._omega = tf.constant(closest, tf.int32), tf.constant(weights, tf.float32)

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of positives with their negatives, and how many positives there are."""
        events = self._at(batch.examples)
        negatives, weights = self._sampler(events, batch)
        scores = score(self.model, events.query, events.items, negatives)
        losses = self._weights(events.users, events.items) * tf.nn.softplus(-scores.positive)
        of_negatives = self._weights(events.users[:, None], negatives) * weights
        total = tf.reduce_sum(losses) + tf.reduce_sum(of_negatives * tf.nn.softplus(scores.negative))
        if self._item_item:
            closest = self.model.score_items(events.query, tf.gather(self._closest, events.items), training=True)
            omega = tf.gather(self._omega, events.items)
            total += self._item_item * tf.reduce_sum(omega * tf.nn.softplus(-tf.cast(closest, tf.float32)))
        positives = tf.ones_like(losses)
        if self._l2:
            total += self._l2 * l2_penalty(scores, positives, positives, weights)
        return total, tf.reduce_sum(positives)

    def _weights(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        of_users, of_items = self._shares
        return self._base + self._user_item * tf.gather(of_users, users) * tf.gather(of_items, items)


def _liked(dataset: Dataset) -> csr_matrix:
    """Who liked what in training, `[num_users, num_items]` ones."""
    rows = dataset.part("train")
    rows = rows[rows["label"] > 0].drop_duplicates(["user", "item"])
    places = (rows["user"].to_numpy(), rows["item"].to_numpy())
    return csr_matrix((np.ones(len(rows), np.float32), places), shape=(dataset.num_users, dataset.num_items))
