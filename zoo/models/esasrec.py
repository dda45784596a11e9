"""SASRec with gated residual blocks and a sampled softmax (eSASRec, Tikhonovich et al., 2025).

Hparams:
    embedding_dim: Width of the item vectors, which serve as input and as output.
    num_blocks: Gated blocks one after the other.
    num_heads: Heads of the attention, which divide `embedding_dim`.
    widening: Units of a block's SwiGLU, in multiples of `embedding_dim`.
    dropout: Share of events' units, of layers' units and of attention weights dropped.
"""

from keras import layers

from zoo.families import Towers
from zoo.layers import Dropout, Embedding, GatedBlock, PositionEmbedding
from zoo.registry import register
from zoo.schema import PADDING, Schema


@register(
    "esasrec",
    objective="next_item_sampled",
    query=("history",),
    paper="arXiv:2508.06450",
    ordered=True,
    tiny={"embedding_dim": 4, "num_blocks": 1, "num_heads": 2, "widening": 2},
)
def esasrec(
    schema: Schema,
    *,
    embedding_dim: int = 64,
    num_blocks: int = 2,
    num_heads: int = 1,
    widening: int = 4,
    dropout: float = 0.2,
) -> Towers:
    history, item = schema.input("history"), schema.input("item")
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=None)
    events = PositionEmbedding(history.shape[1], scale=embedding_dim**0.5)(item_vectors(history))
    events = Dropout(dropout)(events)
    for _ in range(num_blocks):
        events = GatedBlock(num_heads, widening * embedding_dim, dropout)(events, history != PADDING)
    positions = layers.LayerNormalization(epsilon=1e-6)(events)
    return Towers(query=positions[:, -1], positions=positions, item=item_vectors(item))
