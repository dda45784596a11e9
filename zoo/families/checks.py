"""What may be asked of a recommender, and whether it can answer."""

from __future__ import annotations

import keras
import numpy as np

from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN

TRAIN_ANEW = (
    "Train it anew with a smaller train.learning_rate, train.l2 or train.weight_decay, "
    "or with hparams nearer to their defaults."
)


def check_k(k: int, num_items: int) -> None:
    """Raises a `UserError` unless `k` items can be recommended."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise UserError(f"k must be an integer. Received: {k!r}.")
    if not 1 <= k <= num_items - FIRST_KNOWN:
        raise UserError(f"k must be between 1 and the {num_items - FIRST_KNOWN} items of the catalogue. Received: {k}.")


def check_finite(model: keras.Model) -> None:
    """Raises a `UserError` that names the first weight of a model with values that are infinite or no numbers."""
    for weight in model.weights:
        values = np.asarray(weight)
        # Both are as much of an answer as a mask of all values, and take no memory.
        if values.size and not np.isfinite([values.min(), values.max()]).all():
            raise UserError(
                f"The weight {weight.path!r} has values that are not finite, so the model is of no use. {TRAIN_ANEW}"
            )


def check_finite_scores(scores: np.ndarray) -> None:
    """Raises a `UserError` if a score is infinite or no number, as it is when weights are all but infinite."""
    if not np.isfinite(scores).all():
        found = scores[~np.isfinite(scores)][0]
        raise UserError(f"The model has given the score {found}, so its weights are of no use. {TRAIN_ANEW}")
