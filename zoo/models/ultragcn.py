"""UltraGCN: vectors held to what endless rounds of message passing would make of them, by losses (Mao et al., 2021).

No message is passed in training. Users who arrive after training get the vector on which the rounds would settle.

Hparams:
    embedding_dim: Width of the user and item vectors.
    stddev: Spread of the vectors at first.
"""

from zoo.families import Towers
from zoo.layers import Embedding, SettledUsers, each_liked_once
from zoo.registry import register
from zoo.schema import Schema


@register(
    "ultragcn",
    objective="graph_constraints",
    query=("user", "history"),
    paper="arXiv:2110.15114",
    tiny={"embedding_dim": 4},
)
def ultragcn(schema: Schema, *, embedding_dim: int = 64, stddev: float = 0.1) -> Towers:
    users = Embedding(schema.size("user"), embedding_dim, stddev=stddev)
    items = Embedding(schema.size("item"), embedding_dim, stddev=stddev)
    settled = SettledUsers(users, items, name="settled_users")
    return Towers(
        query=settled(schema.input("user"), schema.input("history"), each_liked_once(schema)),
        item=items(schema.input("item")),
    )
