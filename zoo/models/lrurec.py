"""Linear recurrent units over a history predict the next item (LRURec, Yue et al., 2024).

Hparams:
    embedding_dim: Width of the item vectors, which serve as input and as output.
    num_blocks: Recurrences one after the other, each with a small network behind it.
    dropout: Share of units dropped.
"""

from keras import layers, ops

from zoo.families import Towers
from zoo.layers import Dropout, Embedding, LinearRecurrence, mlp
from zoo.registry import register
from zoo.schema import PADDING, Schema


@register(
    "lrurec",
    objective="next_item",
    query=("history",),
    paper="arXiv:2310.02367",
    ordered=True,
    tiny={"embedding_dim": 4, "num_blocks": 1},
)
def lrurec(schema: Schema, *, embedding_dim: int = 64, num_blocks: int = 2, dropout: float = 0.2) -> Towers:
    history, item = schema.input("history"), schema.input("item")
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=None)
    exists = ops.cast(history != PADDING, "float32")[..., None]
    events = layers.LayerNormalization()(Dropout(dropout)(item_vectors(history)))
    for _ in range(num_blocks):
        # States are twice as wide as events, and complex; an event reads the real part of a projection of theirs.
        states = LinearRecurrence()(layers.Dense(4 * embedding_dim)(events) * exists)
        events = layers.LayerNormalization()(events + Dropout(dropout)(layers.Dense(embedding_dim)(states)))
        rewritten = layers.Dense(embedding_dim)(mlp(events, [4 * embedding_dim], dropout, "gelu"))
        events = layers.LayerNormalization()(events + Dropout(dropout)(rewritten))
    return Towers(
        query=events[:, -1],
        positions=events,
        item=item_vectors(item),
        item_bias=Embedding(schema.size("item"), 1)(item),
    )
