"""Deep and cross network, version 2: explicit products of features beside or before an MLP (Wang et al., 2021).

Hparams:
    embedding_dim: Width of the vector of a feature.
    crosses: How many cross layers there are; the products are of up to one feature more.
    projection_dim: Rank of the matrix of a cross layer; 0 for a full one.
    structure: "stacked" puts the MLP on the last cross layer, "parallel" beside them.
    hidden: Units of each layer of the MLP.
    dropout: Share of the numbers of the vectors, and of the units after each layer, dropped.
    id_dropout: Share of the examples in which ids do without what was learned of them.
    recent: How many of the last events of a history are pooled apart from all liked ones.
"""

from collections.abc import Sequence

from keras import layers, ops
from keras_rs.layers import FeatureCross

from zoo.errors import UserError, unknown_name
from zoo.families import Pairs
from zoo.layers import mlp, query_and_item
from zoo.registry import register
from zoo.schema import Schema


@register(
    "dcn",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="arXiv:2008.13535",
    tiny={"embedding_dim": 4, "crosses": 1, "projection_dim": 4, "hidden": (8,), "recent": 3},
)
def dcn(
    schema: Schema,
    *,
    embedding_dim: int = 32,
    crosses: int = 2,
    projection_dim: int = 64,
    structure: str = "stacked",
    hidden: Sequence[int] = (128, 64),
    dropout: float = 0.1,
    id_dropout: float = 0.1,
    recent: int = 10,
) -> Pairs:
    if structure not in ("stacked", "parallel"):
        raise unknown_name("structure of dcn", structure, ("stacked", "parallel"))
    if crosses < 0 or projection_dim < 0:
        raise UserError(f"crosses and projection_dim must be at least 0. Received: {crosses}, {projection_dim}.")
    query, item = query_and_item(schema, embedding_dim, dropout=dropout, id_dropout=id_dropout, recent=recent)
    both = crossed = ops.concatenate([query.joined, item.joined], axis=-1)
    for number in range(crosses):
        crossed = FeatureCross(projection_dim=projection_dim or None, name=f"cross_{number}")(both, crossed)
    if structure == "stacked":
        last = mlp(crossed, hidden, dropout)
    else:
        last = ops.concatenate([crossed, mlp(both, hidden, dropout)], axis=-1)
    return Pairs(query=query.joined, item=item.joined, logit=layers.Dense(1, name="output")(last))
