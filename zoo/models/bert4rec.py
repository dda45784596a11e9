"""A bidirectional transformer fills in hidden items, and the next one is hidden too (BERT4Rec, Sun et al., 2019).

Hparams:
    embedding_dim: Width of the item vectors, which serve as input and as output.
    num_blocks: Transformer blocks one after the other.
    num_heads: Heads of the attention, which divide `embedding_dim`.
    dropout: Share of events' units, of layers' units and of attention weights dropped.
"""

from keras import KerasTensor, layers, ops

from zoo.families import Towers
from zoo.layers import Dropout, Embedding, PositionEmbedding, TransformerBlock
from zoo.registry import register
from zoo.schema import PADDING, Schema


@register(
    "bert4rec",
    objective="masked_items",
    query=("history",),
    paper="arXiv:1904.06690",
    ordered=True,
    tiny={"embedding_dim": 4, "num_blocks": 1, "num_heads": 2},
)
def bert4rec(
    schema: Schema, *, embedding_dim: int = 64, num_blocks: int = 2, num_heads: int = 2, dropout: float = 0.2
) -> Towers:
    history, item, mask = schema.input("history"), schema.input("item"), schema.size("item")
    # One row more than there are items: that of the mask.
    item_vectors = Embedding(mask + 1, embedding_dim, stddev=None)
    places, norm, drop = PositionEmbedding(history.shape[1]), layers.LayerNormalization(), Dropout(dropout)
    blocks = [
        TransformerBlock(num_heads, 4 * embedding_dim, dropout, "gelu", is_causal=False, is_normed_first=False)
        for _ in range(num_blocks)
    ]
    head = [layers.Dense(embedding_dim, activation="gelu"), layers.LayerNormalization()]

    def read(items: KerasTensor) -> KerasTensor:
        events = drop(norm(places(item_vectors(items))))
        for block in blocks:
            events = block(events, items != PADDING)
        return head[1](head[0](events))

    hidden = ops.concatenate([history[:, 1:], ops.full_like(history[:, :1], mask)], axis=1)
    return Towers(
        query=read(hidden)[:, -1],
        masked_positions=read(history),
        item=item_vectors(item),
        item_bias=Embedding(mask, 1)(item),
    )
