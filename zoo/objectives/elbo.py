"""ELBO: the evidence lower bound of a variational autoencoder of users, with an annealed divergence."""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.families import ItemLogits, Recommender
from zoo.objectives.base import OBJECTIVES, Batch, check_at_least
from zoo.objectives.histories import UserObjective, multinomial_losses


@OBJECTIVES.register
class Elbo(UserObjective):
    """The multinomial likelihood of what a user liked, minus the weighted divergence of the user's latent variable.

    The weight rises linearly from 0 to its cap over the steps of `anneal_epochs` epochs, and stays there (Liang et
    al., 2018, arXiv:1802.05814). How many steps these are follows from the number of users and the batch size.

    Args:
        model: The recommender to train: item logits with a latent variable.
        dataset: The prepared data.
        beta: The cap of the divergence's weight, at least 0.
        anneal_epochs: Epochs over which the weight rises; 0 for the cap from the first step on.
    """

    name = "elbo"

    def __init__(self, model: Recommender, dataset: Dataset, beta: float = 0.2, anneal_epochs: float = 20.0) -> None:
        super().__init__(model, dataset)
        check_at_least("beta", beta, 0)
        check_at_least("anneal_epochs", anneal_epochs, 0)
        networks = model.latent_networks if isinstance(model, ItemLogits) else None
        if networks is None:
            raise UserError(
                f"Objective {self.name!r} needs an architecture with a latent variable, and {model.architecture!r} has "
                "none. Choose train.objective=reconstruction, or an architecture such as multvae."
            )
        self._networks, self._cap, self._anneal_epochs = networks, beta, anneal_epochs
        self._check_likings()

    @property
    def state(self) -> list[keras.Variable]:
        """What only the divergence reads."""
        own = {id(variable) for variable in self.model.variables}
        return [variable for variable in self._networks.decoder.variables if id(variable) not in own]

    def divergence_weights(self, likings: tf.Tensor, batch: Batch) -> tf.Tensor:
        """The weight of each user's divergence.

        Args:
            likings: `[n]` float32 numbers of items that the users liked.
            batch: The batch.

        Returns:
            `[n]`, or a scalar for all.
        """
        if not self._anneal_epochs:
            return tf.constant(self._cap)
        return self._cap * tf.minimum(batch.passes / self._anneal_epochs, 1.0)

    def is_denoising(self, phase: str) -> bool:
        """Whether the encoder reads histories of which a share is hidden."""
        return True

    def loss(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a batch of users, and how many of them liked something."""
        known = self._histories(batch)
        logits, divergence = self._networks.draw(known.query, self.is_denoising(batch.phase))
        likings = tf.reduce_sum(known.is_liked, axis=1)
        losses = tf.reduce_sum(multinomial_losses(logits, known.items) * known.is_liked, axis=1)
        losses += self.divergence_weights(likings, batch) * divergence
        counts = tf.cast(likings > 0, tf.float32)
        return tf.reduce_sum(losses * counts), tf.reduce_sum(counts)
