"""Neural graph collaborative filtering: messages that also carry what two neighbours share (Wang et al., 2019).

Users who arrive after training are answered from their history, see `zoo.layers.GraphNodes`.

Hparams:
    embedding_dim: Width of the vectors that users and items start with.
    units: Width of the vectors after each round of message passing.
    dropout: Share of units dropped after each round.
    stddev: Spread of the vectors that users and items start with.
"""

from collections.abc import Sequence

from keras import layers, ops

from zoo.families import Towers
from zoo.layers import Dropout, GraphNodes, unit_length
from zoo.registry import register
from zoo.schema import Schema


@register(
    "ngcf",
    objective="bpr",
    query=("user", "history"),
    paper="arXiv:1905.08108",
    tiny={"embedding_dim": 4, "units": (4, 3)},
)
def ngcf(
    schema: Schema,
    *,
    embedding_dim: int = 64,
    units: Sequence[int] = (64, 64, 64),
    dropout: float = 0.1,
    stddev: float = 0.1,
) -> Towers:
    of_sums = [layers.Dense(width, use_bias=False) for width in units]
    of_products = [layers.Dense(width, use_bias=False) for width in units]
    dropouts = [Dropout(dropout) for _ in units]

    def update(number, own, received):
        messages = of_sums[number](own + received) + of_products[number](own * received)
        return dropouts[number](ops.leaky_relu(messages, 0.2))

    def combine(of_rounds):
        return ops.concatenate([of_rounds[0], *map(unit_length, of_rounds[1:])], axis=-1)

    parts = [*of_sums, *of_products, *dropouts]
    nodes = GraphNodes(schema, embedding_dim, len(units), update, combine, parts=parts, stddev=stddev)
    return Towers(query=nodes.user, item=nodes.item)
