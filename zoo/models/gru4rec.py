"""Gated recurrent units over the items seen so far predict the next one (GRU4Rec, Hidasi et al., 2016).

Hparams:
    embedding_dim: Width of the item vectors, which serve as input and as output.
    units: Width of the state.
    num_layers: Recurrent layers one after the other.
    dropout: Share of units dropped before each recurrent layer and after the last one.
"""

from keras import layers

from zoo.families import Towers
from zoo.layers import Dropout, Embedding
from zoo.registry import register
from zoo.schema import PADDING, Schema


@register(
    "gru4rec",
    objective="next_item",
    query=("history",),
    paper="arXiv:1511.06939",
    ordered=True,
    tiny={"embedding_dim": 4, "units": 4},
)
def gru4rec(
    schema: Schema, *, embedding_dim: int = 64, units: int = 128, num_layers: int = 1, dropout: float = 0.2
) -> Towers:
    history, item = schema.input("history"), schema.input("item")
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=None)
    events = Dropout(dropout)(item_vectors(history))
    for _ in range(num_layers):
        events = Dropout(dropout)(layers.GRU(units, return_sequences=True)(events, mask=history != PADDING))
    positions = layers.Dense(embedding_dim)(events)
    return Towers(
        query=positions[:, -1],
        positions=positions,
        item=item_vectors(item),
        item_bias=Embedding(schema.size("item"), 1)(item),
    )
