"""BPR, and a contrast of two views of each user and item (XSimGCL, Yu et al., 2022, arXiv:2209.02544)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.families import Recommender, Towers
from zoo.layers import unit_length
from zoo.objectives.base import OBJECTIVES, Batch, check_at_least
from zoo.objectives.bpr import BPR
from zoo.objectives.samplers import ALPHA, CANDIDATES


@OBJECTIVES.register
class ContrastiveBPR(BPR):
    """BPR plus InfoNCE between the vectors and the second vectors of the users and of the items of a batch.

    InfoNCE is the mean cross-entropy by which each vector finds its own second vector among those of all users of the
    batch, or of all items, by cosines over a temperature. A user or an item counts once however often it is in the
    batch.

    Args:
        model: The recommender to train; towers with views.
        dataset: The prepared data; interactions with a label above 0 are positives.
        negatives: See `BPR`.
        sampler: See `BPR`.
        alpha: See `BPR`.
        candidates: See `BPR`.
        l2: See `BPR`.
        weight: Weight of the contrast beside a pair's loss.
        temperature: What cosines are divided by.
    """

    name = "contrastive_bpr"
    families = (Towers,)
    is_streamable = False

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        negatives: int = 1,
        sampler: str = "uniform",
        alpha: float = ALPHA,
        candidates: int = CANDIDATES,
        l2: float = 0.0,
        weight: float = 0.2,
        temperature: float = 0.2,
    ) -> None:
        super().__init__(model, dataset, negatives, sampler, alpha, candidates, l2)
        check_at_least("weight", weight, 0)
        if not temperature > 0:
            raise UserError(f"temperature must be above 0. Received: {temperature}.")
        if not (isinstance(model, Towers) and model.has_views):
            raise UserError(
                f"Objective {self.name!r} needs an architecture with two views of users and items; "
                f"{model.architecture!r} has one. Choose another objective, or an architecture such as xsimgcl."
            )
        self._towers, self._negatives = model, negatives
        self._weight, self._temperature = weight, temperature

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of the pairs of a batch with their share of the contrast, and how many pairs there are."""
        total, pairs = super().loss(batch)
        examples, own = batch.companions()
        events = self._at(examples)
        contrast = self._contrast(
            events.users, own, lambda rows: self._towers.view_queries(_rows_of(events.query, rows), training=True)
        )
        contrast += self._contrast(
            events.items, own, lambda rows: self._towers.view_items(tf.gather(events.items, rows), training=True)
        )
        return total + self._weight * self._negatives * tf.cast(tf.size(events.users), tf.float32) * contrast, pairs

    def _contrast(self, ids: tf.Tensor, own: tf.Tensor, views_of: Callable[[tf.Tensor], list[tf.Tensor]]) -> tf.Tensor:
        """This replica's share of the mean InfoNCE of the users, or the items, that `ids` of the whole batch are."""
        different, places = tf.unique(ids)
        first = tf.math.unsorted_segment_min(tf.range(tf.size(ids)), places, tf.size(different))
        vectors, views = views_of(first)
        losses = info_nce(vectors, views, self._temperature)
        is_own = tf.scatter_nd(own[:, None], tf.ones_like(own, tf.float32), tf.shape(ids))
        return tf.reduce_sum(losses * tf.gather(is_own, first)) / tf.cast(tf.size(different), tf.float32)


def info_nce(vectors: tf.Tensor, views: tf.Tensor, temperature: float) -> tf.Tensor:
    """The cross-entropy by which each vector finds its own view among all views.

    Args:
        vectors: `[n, dim]`.
        views: `[n, dim]`.
        temperature: What cosines are divided by.

    Returns:
        `[n]` losses.

    Example:

    >>> info_nce(tf.eye(2), tf.eye(2), temperature=1.0).numpy().round(4)
    array([0.3133, 0.3133], dtype=float32)
    """
    logits = tf.matmul(unit_length(vectors), unit_length(views), transpose_b=True) / temperature
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.range(tf.shape(logits)[0]), logits=logits)


def _rows_of(query: dict[str, tf.Tensor], rows: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.gather(values, rows) for name, values in query.items()}
