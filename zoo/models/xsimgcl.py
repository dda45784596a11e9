"""XSimGCL: rounds of message passing with noise, whose final vectors are told apart by those of a middle round.

Yu et al., 2022. Users who arrive after training are answered from their history, see `zoo.layers.GraphNodes`.

Hparams:
    embedding_dim: Width of the user and item vectors.
    rounds: Rounds of message passing, the layers of the paper.
    compared_round: The round whose vectors are compared with the final ones.
    noise: Length of what is added to every message in training.
    stddev: Spread of the vectors that users and items start with.
"""

from keras import ops

from zoo.families import Towers
from zoo.layers import GraphNodes, Noise
from zoo.registry import register
from zoo.schema import Schema


@register(
    "xsimgcl",
    objective="contrastive_bpr",
    query=("user", "history"),
    paper="arXiv:2209.02544",
    tiny={"embedding_dim": 4, "rounds": 2},
)
def xsimgcl(
    schema: Schema,
    *,
    embedding_dim: int = 64,
    rounds: int = 2,
    compared_round: int = 1,
    noise: float = 0.2,
    stddev: float = 0.1,
) -> Towers:
    perturbed = Noise(noise)

    def update(number, own, received):
        return perturbed(received)

    def combine(of_rounds):
        return ops.mean(ops.stack(of_rounds[1:]), axis=0)

    nodes = GraphNodes(
        schema, embedding_dim, rounds, update, combine, parts=[perturbed], view=compared_round, stddev=stddev
    )
    return Towers(query=nodes.user, item=nodes.item, views=nodes.views)
