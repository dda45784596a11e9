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

import keras
from keras import layers

from zoo.errors import UserError, unknown_name
from zoo.families import Pairs, Recommender
from zoo.layers import Embedding, Weighted, joined_mlp
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
    def vectors(kind: str, dim: int, name: str) -> keras.KerasTensor:
        return Embedding(schema.size(kind), dim, stddev=0.01, name=name)(schema.input(kind))

    # Users and items have two vectors each: one is multiplied as in `gmf`, the other is read by the MLP of `ncf`.
    weights = Weighted(name="gmf_weights")
    product = weights(vectors("user", gmf_dim, "gmf_user_vectors")), vectors("item", gmf_dim, "gmf_item_vectors")
    user, item = vectors("user", mlp_dim, "user_vectors"), vectors("item", mlp_dim, "item_vectors")
    user, item, units = joined_mlp(user, item, hidden, dropout)
    output = layers.Dense(1, kernel_initializer="lecun_uniform", name="output")

    def start_from(trained: Mapping[str, Recommender]) -> None:
        gmf, ncf = _fitting(trained, {"gmf": {"gmf_dim": gmf_dim}, "ncf": {"mlp_dim": mlp_dim, "hidden": hidden}})
        for name in ("user_vectors", "item_vectors", "weights"):
            model.get_layer(f"gmf_{name}").set_weights(gmf.get_layer(name).get_weights())
        dense = [f"mlp_{part}" for part in ("query", "item", *range(1, len(hidden)))]
        for name in ("user_vectors", "item_vectors", *dense, "output"):
            model.get_layer(name).set_weights(ncf.get_layer(name).get_weights())
        for layer, share in ((weights, alpha), (output, 1 - alpha)):
            layer.set_weights([share * weight for weight in layer.get_weights()])

    model = Pairs(query=user, item=item, logit=output(units), dot=product, pretrained=start_from)
    return model


def _fitting(
    trained: Mapping[str, Recommender], wanted: Mapping[str, Mapping[str, int | Sequence[int]]]
) -> list[Recommender]:
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


def _plain(value: int | Sequence[int]) -> int | list[int]:
    return value if isinstance(value, int) else list(value)
