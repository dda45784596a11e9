"""Matrix factorization: a dot product of user and item vectors plus their biases (Koren et al., 2009).

Hparams:
    embedding_dim: Width of the user and item vectors.
    biases: Whether users and items have biases.
"""

from zoo.families import Towers
from zoo.layers import Embedding
from zoo.registry import register
from zoo.schema import Schema


@register("mf", objective="pointwise", query=("user",), paper="10.1109/MC.2009.263", tiny={"embedding_dim": 4})
def mf(schema: Schema, *, embedding_dim: int = 64, biases: bool = True) -> Towers:
    user, item = schema.input("user"), schema.input("item")
    return Towers(
        query=Embedding(schema.size("user"), embedding_dim)(user),
        item=Embedding(schema.size("item"), embedding_dim)(item),
        query_bias=Embedding(schema.size("user"), 1)(user) if biases else None,
        item_bias=Embedding(schema.size("item"), 1)(item) if biases else None,
    )
