"""LightGCN: the mean of what users and items pass on to each other in rounds over their graph (He et al., 2020).

Users who arrive after training are answered from their history, see `zoo.layers.GraphNodes`.

Hparams:
    embedding_dim: Width of the user and item vectors.
    rounds: Rounds of message passing, the layers of the paper.
    stddev: Spread of the vectors that users and items start with.
"""

from keras import ops

from zoo.families import Towers
from zoo.layers import GraphNodes
from zoo.registry import register
from zoo.schema import Schema


@register(
    "lightgcn",
    objective="bpr",
    query=("user", "history"),
    paper="arXiv:2002.02126",
    tiny={"embedding_dim": 4, "rounds": 2},
)
def lightgcn(schema: Schema, *, embedding_dim: int = 64, rounds: int = 3, stddev: float = 0.1) -> Towers:
    def update(number, own, received):
        return received

    def combine(of_rounds):
        # TensorFlow adds up a chain of sums in an order that differs from run to run, but not a stack.
        return ops.mean(ops.stack(of_rounds), axis=0)

    nodes = GraphNodes(schema, embedding_dim, rounds, update, combine, stddev=stddev)
    return Towers(query=nodes.user, item=nodes.item)
