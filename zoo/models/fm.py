"""A factorization machine: linear terms and the dot products of all pairs of features (Rendle, 2010).

All pairs of a feature of the query and one of the item make one product of two sums, so it is a pair of towers.

Hparams:
    embedding_dim: Width of the vector of a feature.
    dropout: Share of the numbers of these vectors dropped.
    id_dropout: Share of the examples in which ids do without what was learned of them.
    recent: How many of the last events of a history are pooled apart from all liked ones.
"""

from zoo.families import Towers
from zoo.layers import query_and_item
from zoo.registry import register
from zoo.schema import Schema


@register(
    "fm",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="10.1109/ICDM.2010.127",
    tiny={"embedding_dim": 4, "recent": 3},
)
def fm(
    schema: Schema, *, embedding_dim: int = 32, dropout: float = 0.0, id_dropout: float = 0.1, recent: int = 10
) -> Towers:
    query, item = query_and_item(schema, embedding_dim, dropout=dropout, id_dropout=id_dropout, recent=recent)
    return Towers(query=query.total, item=item.total, query_bias=query.bias, item_bias=item.bias)
