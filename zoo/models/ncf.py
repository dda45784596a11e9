"""Neural collaborative filtering: an MLP over user and item embeddings (He et al., 2017)."""

from keras import layers

from zoo.layers import Embedding, mlp
from zoo.recommender import Pairs
from zoo.registry import register


@register(
    "ncf",
    objective="pointwise",
    query=("user",),
    paper="arXiv:1708.05031",
    tiny={"embedding_dim": 4, "hidden": (8,)},
)
def ncf(schema, *, embedding_dim=32, hidden=(64, 32, 16), dropout=0.0):
    user = Embedding(schema.size("user"), embedding_dim)(schema.input("user"))
    item = Embedding(schema.size("item"), embedding_dim)(schema.input("item"))
    both = layers.Concatenate()([user, item])
    return Pairs(query=user, item=item, logit=layers.Dense(1)(mlp(both, hidden, dropout)))
