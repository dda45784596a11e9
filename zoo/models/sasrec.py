"""Causal self-attention over a history predicts the next item (SASRec, Kang and McAuley, 2018).

Hparams:
    embedding_dim: Width of the item vectors, which serve as input and as output.
    num_blocks: Transformer blocks one after the other.
    num_heads: Heads of the attention, which divide `embedding_dim`.
    dropout: Share of events' units, of layers' units and of attention weights dropped.
"""

from keras import layers

from zoo.families import Towers
from zoo.layers import Dropout, Embedding, PositionEmbedding, TransformerBlock
from zoo.registry import register
from zoo.schema import PADDING, Schema


@register(
    "sasrec",
    objective="next_item",
    query=("history",),
    paper="arXiv:1808.09781",
    ordered=True,
    tiny={"embedding_dim": 4, "num_blocks": 1, "num_heads": 2},
)
def sasrec(
    schema: Schema, *, embedding_dim: int = 64, num_blocks: int = 2, num_heads: int = 1, dropout: float = 0.2
) -> Towers:
    history, item = schema.input("history"), schema.input("item")
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=None)
    events = PositionEmbedding(history.shape[1], scale=embedding_dim**0.5)(item_vectors(history))
    events = Dropout(dropout)(events)
    for _ in range(num_blocks):
        events = TransformerBlock(num_heads, hidden=embedding_dim, dropout=dropout)(events, history != PADDING)
    positions = layers.LayerNormalization(epsilon=1e-6)(events)
    return Towers(query=positions[:, -1], positions=positions, item=item_vectors(item))
