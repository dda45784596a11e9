"""Sampled softmax: a positive against a sample that stands for the whole catalogue."""

from __future__ import annotations

import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.families import Pairs, Recommender, Towers
from zoo.objectives.base import OBJECTIVES, Batch, EventObjective
from zoo.objectives.samplers import ALPHA, make_shared
from zoo.objectives.scoring import sampled_softmax_losses, score


@OBJECTIVES.register
class SampledSoftmax(EventObjective):
    """Cross-entropy of a positive among a sample that the whole batch shares.

    An item of the sample stands for as many as were left out for it. Therefore the logarithm of how often it is
    expected in a sample is subtracted from its score (Bengio and Senecal, 2008, 10.1109/TNN.2007.912312; Jean et al.,
    2015, arXiv:1412.2007). The positive is always there, so it stands for itself. It does
    not count twice where it was drawn as well. The sum of exponentials is then expected to be that over the catalogue.

    Args:
        model: The recommender to train.
        dataset: The prepared data; interactions with a label above 0 are positives.
        negatives: Items drawn a batch. With all of the catalogue, drawn uniformly, this is `full_softmax`.
        sampler: `"uniform"`, or `"popularity"`: by the power `alpha` of how often an item is a positive.
        alpha: The power of popularity.
    """

    name = "sampled_softmax"
    families = (Towers, Pairs)

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        negatives: int = 256,
        sampler: str = "uniform",
        alpha: float = ALPHA,
    ) -> None:
        super().__init__(model, dataset)
        self._sampler = make_shared(sampler, self._events, negatives, alpha)

    @classmethod
    def most_items(cls, known: int) -> dict[str, int]:
        """What is drawn once a batch, or must leave items out, is at most the catalogue."""
        return {"negatives": known}

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of positives, and how many there are."""
        events = self._at(batch.examples)
        items, _ = self._sampler(events, batch)
        scores = score(self.model, events.query, events.items, items)
        negative = scores.negative - self._sampler.log_expected(items)
        losses = sampled_softmax_losses(scores.positive, negative, items == events.items[:, None])
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
