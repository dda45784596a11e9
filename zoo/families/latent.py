"""The latent variable of a variational autoencoder, as its architecture describes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import keras


@dataclasses.dataclass(frozen=True)
class Latent:
    """What training needs to know of a latent variable, beyond the logits that are made of it.

    Args:
        code: Symbolic tensors that the variable is drawn by, e.g. its mean and its log variance, and what else is read
            beside it. The layers before them are the encoder, those after them the decoder.
        divergence: `[batch]` symbolic divergence of the variable's distribution from its prior, or one draw of it.
        renew: Called after the encoder was trained and before the decoder is, where they are trained in turn. It
            may set weights that the divergence reads and that are not trained.

    Example:

    ```python
    ItemLogits(logits=decoder(code), latent=Latent([mean, log_variance], divergence))
    ```
    """

    code: Sequence[keras.KerasTensor]
    divergence: keras.KerasTensor
    renew: Callable[[], None] = lambda: None
