"""A recurrent network over the items seen so far predicts the next one (GRU4Rec, Hidasi et al., 2016, with an LSTM).

Hparams:
    embedding_dim: Width of the item vectors, which serve as input and as output.
    units: Width of the state.
    dropout: Share of units dropped before and after the recurrent layer.
"""

from keras import layers

from zoo.families import Towers
from zoo.layers import Dropout, Embedding
from zoo.registry import register
from zoo.schema import Schema


@register(
    "lstm",
    objective="next_item",
    query=("history",),
    paper="arXiv:1511.06939",
    ordered=True,
    tiny={"embedding_dim": 4, "units": 4},
)
def lstm(schema: Schema, *, embedding_dim: int = 64, units: int = 128, dropout: float = 0.2) -> Towers:
    history, item = schema.input("history"), schema.input("item")
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=None)
    events = Dropout(dropout)(item_vectors(history))
    states = layers.LSTM(units, return_sequences=True)(events, mask=history != 0)
    positions = layers.Dense(embedding_dim)(Dropout(dropout)(states))
    return Towers(
        query=positions[:, -1],
        positions=positions,
        item=item_vectors(item),
        item_bias=Embedding(schema.size("item"), 1)(item),
    )
