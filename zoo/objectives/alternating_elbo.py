"""Alternating ELBO: encoder and decoder are trained in turn, and a user's divergence weighs by what the user liked."""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo.data.dataset import Dataset
from zoo.families import Recommender
from zoo.objectives.base import OBJECTIVES, Batch, check_at_least
from zoo.objectives.elbo import Elbo

ENCODER, DECODER = "encoder", "decoder"


@OBJECTIVES.register
class AlternatingElbo(Elbo):
    """The ELBO as RecVAE has it (Shenbin et al., 2020, arXiv:1912.11160).

    Some epochs train the encoder only, then some train the decoder only, and so on. In between the prior is renewed.
    A share of each history is hidden from the encoder while the encoder is trained, and none while the decoder is.

    Args:
        model: The recommender to train: item logits with a latent variable.
        dataset: The prepared data.
        gamma: Weight of a user's divergence for every item that the user liked, at least 0.
        encoder_epochs: Epochs of the encoder in a row, at least 1.
        decoder_epochs: Epochs of the decoder in a row, at least 1.
    """

    name = "alternating_elbo"

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        gamma: float = 0.005,
        encoder_epochs: int = 3,
        decoder_epochs: int = 1,
    ) -> None:
        super().__init__(model, dataset)
        check_at_least("gamma", gamma, 0)
        check_at_least("encoder_epochs", encoder_epochs, 1)
        check_at_least("decoder_epochs", decoder_epochs, 1)
        self._gamma, self._encoder_epochs, self._decoder_epochs = gamma, encoder_epochs, decoder_epochs

    def begin_epoch(self, number: int) -> str:
        """What the epoch trains. The prior is renewed before the first epoch of the decoder."""
        place = number % (self._encoder_epochs + self._decoder_epochs)
        if place == self._encoder_epochs:
            self._networks.latent.renew()
        return ENCODER if place < self._encoder_epochs else DECODER

    def trained_weights(self, phase: str) -> list[keras.Variable]:
        """The weights of the encoder or of the decoder."""
        of_encoder = {id(weight) for weight in self._networks.encoder.trainable_variables}
        weights = super().trained_weights(phase)
        return [weight for weight in weights if (id(weight) in of_encoder) == (phase == ENCODER)]

    def divergence_weights(self, likings: tf.Tensor, batch: Batch) -> tf.Tensor:
        """`gamma` times the number of likings, `[n]`."""
        return self._gamma * likings

    def is_denoising(self, phase: str) -> bool:
        """Only while the encoder is trained."""
        return phase == ENCODER
