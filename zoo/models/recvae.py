"""RecVAE: an autoencoder of users whose code stays near what the encoder said of a user before (Shenbin et al., 2020).

The prior of the code is a mixture of the standard normal distribution, the one that the encoder had given before its
last training, and a wide one. As in the published code, it is a mixture in every dimension by itself. The objective
`alternating_elbo` trains encoder and decoder in turn.

Hparams:
    hidden: Units of each layer of the encoder.
    depth: Layers of the encoder.
    code: Width of the code.
    dropout: Share of the items hidden from the encoder while it is trained.
    prior: Shares of the standard, the old and the wide distribution in the prior.
"""

from keras import layers, ops

from zoo.errors import UserError
from zoo.families import ItemLogits, Latent
from zoo.layers import (
    DenseResidual,
    Dropout,
    NormalSample,
    check_autoencoder,
    liked_items,
    log_mixture,
    log_normal,
    unit_length,
)
from zoo.registry import register
from zoo.schema import Schema

# The log variance of the wide distribution.
WIDE = 10.0


@register(
    "recvae",
    objective="alternating_elbo",
    query=("history",),
    paper="arXiv:1912.11160",
    tiny={"hidden": 8, "depth": 2, "code": 4},
)
def recvae(
    schema: Schema,
    *,
    hidden: int = 600,
    depth: int = 5,
    code: int = 200,
    dropout: float = 0.5,
    prior: tuple[float, float, float] = (0.15, 0.75, 0.1),
) -> ItemLogits:
    if min(prior) <= 0 or abs(sum(prior) - 1) > 1e-6:
        raise UserError(f"recvae: the shares in prior must be above 0 and add up to 1. Received: {prior}.")
    num_items = schema.size("item")
    check_autoencoder(num_items, hidden)
    liked = unit_length(liked_items(schema))
    mean, log_variance, encoder = encode(Dropout(dropout)(liked), hidden, depth, code)
    old_mean, old_log_variance, old = encode(liked, hidden, depth, code, trainable=False)
    drawn = NormalSample()(mean, log_variance)
    parts = [log_normal(drawn, 0.0, 0.0), log_normal(drawn, old_mean, old_log_variance), log_normal(drawn, 0.0, WIDE)]
    divergence = ops.sum(log_normal(drawn, mean, log_variance) - log_mixture(parts, prior), axis=1)

    def renew() -> None:
        for layer, trained in zip(old, encoder, strict=True):
            layer.set_weights(trained.get_weights())

    return ItemLogits(
        logits=layers.Dense(num_items)(drawn),
        latent=Latent(code=[mean, log_variance, liked], divergence=divergence, renew=renew),
    )


def encode(liked, hidden, depth, code, trainable=True):
    """The mean and the log variance of the code, and the layers that made them."""
    network = [DenseResidual(hidden, depth), layers.Dense(code), layers.Dense(code)]
    for layer in network:
        layer.trainable = trainable
    encoded = network[0](liked)
    return network[1](encoded), network[2](encoded), network
