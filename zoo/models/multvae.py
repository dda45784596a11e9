"""A variational autoencoder of users with a multinomial likelihood (Mult-VAE; Liang et al., 2018).

In training the code is drawn, and an annealed weight holds its distribution near the standard normal one (see the
objective `elbo`). Otherwise the code is its mean.

Hparams:
    hidden: Units of the layers between the items and the code, on either side.
    code: Width of the code.
    dropout: Share of the items hidden in training.
"""

from keras import layers

from zoo.families import ItemLogits, Latent
from zoo.layers import (
    Dropout,
    NormalSample,
    check_autoencoder,
    divergence_from_standard,
    liked_items,
    mlp,
    unit_length,
)
from zoo.registry import register
from zoo.schema import Schema


@register("multvae", objective="elbo", query=("history",), paper="arXiv:1802.05814", tiny={"hidden": (8,), "code": 4})
def multvae(schema: Schema, *, hidden: tuple[int, ...] = (600,), code: int = 200, dropout: float = 0.5) -> ItemLogits:
    num_items = schema.size("item")
    check_autoencoder(num_items, [*hidden, code][0])
    liked = Dropout(dropout)(unit_length(liked_items(schema)))
    encoded = mlp(liked, hidden, activation="tanh")
    mean, log_variance = layers.Dense(code)(encoded), layers.Dense(code)(encoded)
    decoded = mlp(NormalSample()(mean, log_variance), hidden[::-1], activation="tanh")
    return ItemLogits(
        logits=layers.Dense(num_items)(decoded),
        latent=Latent(code=[mean, log_variance], divergence=divergence_from_standard(mean, log_variance)),
    )
