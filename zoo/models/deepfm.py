"""A factorization machine and an MLP over the same vectors, their logits added (Guo et al., 2017).

Hparams:
    embedding_dim: Width of the vector of a feature.
    hidden: Units of each layer of the MLP.
    dropout: Share of the numbers of the vectors, and of the units after each layer, dropped.
    id_dropout: Share of the examples in which ids do without what was learned of them.
    recent: How many of the last events of a history are pooled apart from all liked ones.
"""

from collections.abc import Sequence

from keras import layers

from zoo.families import Pairs
from zoo.layers import joined_mlp, query_and_item
from zoo.registry import register
from zoo.schema import Schema


@register(
    "deepfm",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="arXiv:1703.04247",
    tiny={"embedding_dim": 4, "hidden": (8,), "recent": 3},
)
def deepfm(
    schema: Schema,
    *,
    embedding_dim: int = 32,
    hidden: Sequence[int] = (128, 64),
    dropout: float = 0.1,
    id_dropout: float = 0.1,
    recent: int = 10,
) -> Pairs:
    query, item = query_and_item(schema, embedding_dim, dropout=dropout, id_dropout=id_dropout, recent=recent)
    of_query, of_item, units = joined_mlp(query.joined, item.joined, hidden, dropout)
    return Pairs(
        query=[query.bias, of_query],
        item=[item.bias, of_item],
        logit=query.bias + item.bias + layers.Dense(1, name="output")(units),
        dot=(query.total, item.total),
    )
