"""Neural matrix factorization: a product and an MLP of user and item vectors of their own, joined (He et al., 2017).

It can start from trained runs of `gmf` and `ncf` (`train.pretrained`) and then go on by plain SGD, as in the paper.

Hparams:
    gmf_dim: Width of the vectors that are multiplied, the `embedding_dim` of a pretrained `gmf`.
    mlp_dim: Width of the vectors that the MLP reads, the `embedding_dim` of a pretrained `ncf`.
    hidden: Units of each layer of the MLP, the `hidden` of a pretrained `ncf`.
    dropout: Share of units dropped after each of them.
    alpha: What the score of a pretrained `gmf` weighs; that of `ncf` weighs the rest.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import layers

from zoo.errors import UserError, unknown_name
from zoo.layers import Embedding
from zoo.recommender import Pairs, Recommender
from zoo.registry import register
from zoo.schema import Schema


@register(
    "neumf",
    objective="pointwise",
    query=("user",),
    paper="arXiv:1708.05031",
    tiny={"gmf_dim": 3, "mlp_dim": 4, "hidden": (8,)},
)
def neumf(
    schema: Schema,
    *,
    gmf_dim: int = 32,
    mlp_dim: int = 32,
    hidden: Sequence[int] = (64, 32, 16),
    dropout: float = 0.0,
    alpha: float = 0.5,
) -> Pairs:
    # Two tables each for users and for items: one is multiplied, the other is read by the MLP.
    dims = (gmf_dim, mlp_dim)
    user_tables = [Embedding(schema.size("user"), dim, stddev=0.01) for dim in dims]
    item_tables = [Embedding(schema.size("item"), dim, stddev=0.01) for dim in dims]
    dense = [layers.Dense(units, activation="relu") for units in hidden]
    output = layers.Dense(1, kernel_initializer="lecun_uniform")

    user = [table(schema.input("user")) for table in user_tables]
    item = [table(schema.input("item")) for table in item_tables]
    product, both = user[0] * item[0], layers.Concatenate()([user[1], item[1]])
    for layer in dense:
        both = layers.Dropout(dropout)(layer(both))
    logit = output(layers.Concatenate()([product, both]))

    def start_from(trained: Mapping[str, Recommender]) -> None:
        gmf, ncf = _fitting(trained, {"gmf": {"gmf_dim": gmf_dim}, "ncf": {"mlp_dim": mlp_dim, "hidden": hidden}})
        for number, model in enumerate((gmf, ncf)):
            user_tables[number].set_weights(model.get_layer("user_vectors").get_weights())
            item_tables[number].set_weights(model.get_layer("item_vectors").get_weights())
        *trained_dense, ncf_output = (layer for layer in ncf.layers if isinstance(layer, layers.Dense))
        for layer, trained_layer in zip(dense, trained_dense, strict=True):
            layer.set_weights(trained_layer.get_weights())
        gmf_output = next(layer for layer in gmf.layers if isinstance(layer, layers.Dense))
        (gmf_kernel, gmf_bias), (ncf_kernel, ncf_bias) = gmf_output.get_weights(), ncf_output.get_weights()
        kernel = np.concatenate([alpha * gmf_kernel, (1 - alpha) * ncf_kernel])
        output.set_weights([kernel, alpha * gmf_bias + (1 - alpha) * ncf_bias])

    return Pairs(query=user, item=item, logit=logit, pretrained=start_from)


def _fitting(trained: Mapping[str, Recommender], wanted: Mapping[str, Mapping[str, Any]]) -> list[Recommender]:
    """The trained recommenders in the order wanted, if their hparams are those wanted here."""
    for name in trained:
        if name not in wanted:
            raise unknown_name("architecture to start 'neumf' from", name, wanted)
    for name, hparams in wanted.items():
        if name not in trained:
            raise UserError(f"'neumf' starts from trained runs of 'gmf' and of 'ncf'. Missing: {name!r}.")
        for mine, value in hparams.items():
            theirs = "hidden" if mine == "hidden" else "embedding_dim"
            given = trained[name].hparams[theirs]
            if _plain(value) != _plain(given):
                raise UserError(
                    f"'neumf' has {mine}={_plain(value)}, but the pretrained {name!r} has {theirs}={_plain(given)}. "
                    f"Set hparams.{mine}={_plain(given)}."
                )
    return [trained[name] for name in wanted]


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else list(value)
