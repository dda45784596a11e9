"""Generalized matrix factorization: a weighted product of user and item vectors (He et al., 2017).

All weights start at 1, which makes it matrix factorization at first.

Hparams:
    embedding_dim: Width of the user and item vectors, the paper's predictive factors.
"""

from zoo.families import Towers
from zoo.layers import Embedding, Weighted
from zoo.registry import register
from zoo.schema import Schema


@register("gmf", objective="pointwise", query=("user",), paper="arXiv:1708.05031", tiny={"embedding_dim": 4})
def gmf(schema: Schema, *, embedding_dim: int = 32) -> Towers:
    # Names by which `neumf` finds them.
    user = Embedding(schema.size("user"), embedding_dim, stddev=0.01, name="user_vectors")(schema.input("user"))
    item = Embedding(schema.size("item"), embedding_dim, stddev=0.01, name="item_vectors")(schema.input("item"))
    # The weights of the product can as well weigh one of its factors, which makes it a dot product.
    return Towers(query=Weighted(name="weights")(user), item=item)
