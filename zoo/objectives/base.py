"""What the training loop asks of an objective."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.recommender import Recommender


class Objective:
    """Examples and their loss.

    A subclass sets `num_examples`, one pass over which is an epoch, and defines `loss`.

    Args:
        model: The recommender to train.
        dataset: The prepared data.
    """

    families: ClassVar[tuple[type[Recommender], ...]] = (Recommender,)
    num_examples: int

    def __init__(self, model: Recommender, dataset: Dataset) -> None:
        self.model = model

    def loss(self, examples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The mean loss of a batch, as a graph operation.

        Args:
            examples: `[batch]` example numbers, each below `num_examples`.
            seed: `[2]` seed of everything that is drawn at random in this step.

        Returns:
            A scalar.
        """
        raise NotImplementedError


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
        raise UserError(f"feedback must be 'implicit' or 'explicit'. Received: {feedback!r}.")
    if feedback == "implicit" or is_binary(dataset):
        return False
    labels = dataset.part("train")["label"].to_numpy()
    model.set_rating_scale(float(labels.mean()), float(labels.std()) or 1.0)
    return True


def is_binary(dataset: Dataset) -> bool:
    """Whether the labels are zeros and ones, both present."""
    return set(np.unique(dataset.interactions["label"].to_numpy())) == {0.0, 1.0}
