"""Item logits: a query to one logit for every item."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import keras
import tensorflow as tf
from keras import ops

from zoo.families.base import Recommender
from zoo.families.contracts import Encoded, Pretrained, Solver, Work
from zoo.families.latent import Latent
from zoo.families.symbolic import float32, sources

if TYPE_CHECKING:
    from zoo.types import Tensor


@dataclasses.dataclass(frozen=True)
class LatentNetworks:
    """The two halves of a variational autoencoder.

    Args:
        encoder: The query to the code.
        decoder: The code to the logits and the divergence, with a draw of the latent variable in between.
        latent: What the architecture says of it.
    """

    encoder: keras.Model
    decoder: keras.Model
    latent: Latent

    def draw(self, query: Mapping[str, Tensor], is_denoising: bool = True) -> tuple[Tensor, Tensor]:
        """Reconstructs queries by a drawn latent variable, as a graph operation.

        Args:
            query: One tensor an input, `[batch, ...]`.
            is_denoising: Whether layers of the encoder such as dropout are on.

        Returns:
            `[batch, num_items]` logits and the `[batch]` divergence from the prior.
        """
        code = self.encoder(query, training=is_denoising)
        logits, divergence = self.decoder(code, training=True)
        return logits, divergence


@dataclasses.dataclass(frozen=True)
class _Networks:
    """In a plain object, because Keras would count the weights of an attribute of the model a second time."""

    logits: keras.Model
    latent: LatentNetworks | None


@keras.saving.register_keras_serializable("recozoo")
class ItemLogits(Recommender):
    """A query to one logit an item of the catalogue.

    Args:
        logits: `[batch, num_items]` symbolic logits, columns in index order, padding and unknown included.
        solver: See `Recommender`.
        pretrained: See `Recommender`.
        work: See `Recommender`.
        latent: Of a variational autoencoder, its latent variable.
    """

    family: ClassVar[str] = "item logits"

    def __init__(
        self,
        logits: keras.KerasTensor,
        solver: Solver | None = None,
        pretrained: Pretrained | None = None,
        work: Work | None = None,
        latent: Latent | None = None,
    ) -> None:
        logits = float32(logits)
        inputs = sources([logits])
        query_inputs = dict(inputs)
        item = keras.Input(shape=(), dtype="int32", name="item")
        inputs["item"] = item
        super().__init__(inputs, ops.take_along_axis(logits, item[:, None], axis=1), solver, pretrained, work=work)
        networks = None
        if latent is not None:
            code = list(latent.code)
            decoder = keras.Model(code, [logits, float32(latent.divergence)])
            networks = LatentNetworks(keras.Model(query_inputs, code), decoder, latent)
        self._networks = _Networks(keras.Model(query_inputs, logits), networks)

    @property
    def latent_networks(self) -> LatentNetworks | None:
        """The halves of a variational autoencoder; `None` for another architecture."""
        return self._networks.latent

    def encode_query(self, query: Mapping[str, Tensor], training: bool = False) -> Tensor:
        """`[batch, num_items]` logits, before they are made ratings."""
        return self._networks.logits({name: query[name] for name in self.query_names}, training=training)

    def encode_catalogue(self) -> list[tf.Tensor]:
        """Nothing: the items are the columns of the last layer."""
        return []

    def score_encoded(self, query: Encoded, catalogue: Sequence[Tensor], items: Tensor | None = None) -> Tensor:
        """The logits themselves, or the columns of some items."""
        logits = query if items is None else tf.gather(query, items, axis=1, batch_dims=1)
        return self.to_scores(logits)

    def score_items(
        self,
        query: Mapping[str, Tensor],
        items: Tensor,
        catalogue: Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> Tensor:
        """The columns of the items."""
        return self.score_encoded(self.encode_query(query, training=training), [], items)

    def score_shared(
        self, query: Mapping[str, Tensor], items: Tensor, own: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """The columns of the shared items."""
        logits = self.encode_query(query, training=training)
        scores = tf.gather(logits, items, axis=1)
        if own is not None:
            scores = tf.concat([tf.gather(logits, own, axis=1, batch_dims=1), scores], axis=1)
        return self.to_scores(scores)
