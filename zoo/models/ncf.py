"""Neural collaborative filtering: an MLP over user and item embeddings (He et al., 2017).

Hparams:
    embedding_dim: Width of the user and item vectors. The paper's MLP-3 of 64 predictive factors has 128.
    hidden: Units of each layer of the MLP. The last are the predictive factors; the paper's MLP-3 has (128, 64).
    dropout: Share of units dropped after each of them.
"""

from collections.abc import Sequence

from keras import layers

from zoo.families import Pairs
from zoo.layers import Embedding, joined_mlp
from zoo.registry import register
from zoo.schema import Schema


@register(
    "ncf",
    objective="pointwise",
    query=("user",),
    paper="arXiv:1708.05031",
    tiny={"embedding_dim": 4, "hidden": (8,)},
)
def ncf(
    schema: Schema, *, embedding_dim: int = 32, hidden: Sequence[int] = (64, 32, 16), dropout: float = 0.0
) -> Pairs:
    # Names by which `neumf` finds them.
    user = Embedding(schema.size("user"), embedding_dim, stddev=0.01, name="user_vectors")(schema.input("user"))
    item = Embedding(schema.size("item"), embedding_dim, stddev=0.01, name="item_vectors")(schema.input("item"))
    user, item, units = joined_mlp(user, item, hidden, dropout)
    logit = layers.Dense(1, kernel_initializer="lecun_uniform", name="output")(units)
    return Pairs(query=user, item=item, logit=logit)
