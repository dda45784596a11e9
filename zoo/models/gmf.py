"""Generalized matrix factorization: a weighted product of user and item vectors (He et al., 2017).

Hparams:
    embedding_dim: Width of the user and item vectors, the paper's predictive factors.
"""

from keras import layers

from zoo.layers import Embedding
from zoo.recommender import Pairs
from zoo.registry import register
from zoo.schema import Schema


@register("gmf", objective="pointwise", query=("user",), paper="arXiv:1708.05031", tiny={"embedding_dim": 4})
def gmf(schema: Schema, *, embedding_dim: int = 32) -> Pairs:
    # Names by which `neumf` finds them.
    user = Embedding(schema.size("user"), embedding_dim, stddev=0.01, name="user_vectors")(schema.input("user"))
    item = Embedding(schema.size("item"), embedding_dim, stddev=0.01, name="item_vectors")(schema.input("item"))
    return Pairs(query=user, item=item, logit=layers.Dense(1, kernel_initializer="lecun_uniform")(user * item))
