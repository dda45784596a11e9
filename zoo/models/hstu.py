"""Hierarchical sequential transduction units over a history predict the next item (HSTU, Zhai et al., 2024).

Hparams:
    embedding_dim: Width of the item vectors, which serve as input and as output.
    num_blocks: Units one after the other.
    num_heads: Heads of the attention, which divide `embedding_dim`.
    dropout: Share of events' units and of layers' units dropped.
    temperature: What the cosine of a query and an item is divided by.
    relative_time: Whether attention knows the times between events, where events have a time.
"""

from zoo.families import Towers
from zoo.layers import Dropout, Embedding, PointwiseAttentionBlock, PositionEmbedding, TimeGapBias, unit_length
from zoo.registry import register
from zoo.schema import PADDING, Schema


@register(
    "hstu",
    objective="next_item",
    query=("history",),
    paper="arXiv:2402.17152",
    ordered=True,
    tiny={"embedding_dim": 4, "num_blocks": 1, "num_heads": 2, "temperature": 0.5},
)
def hstu(
    schema: Schema,
    *,
    embedding_dim: int = 64,
    num_blocks: int = 2,
    num_heads: int = 1,
    dropout: float = 0.2,
    temperature: float = 0.05,
    relative_time: bool = True,
) -> Towers:
    history, item = schema.input("history"), schema.input("item")
    item_vectors = Embedding(schema.size("item"), embedding_dim, stddev=None)
    events = PositionEmbedding(history.shape[1], scale=embedding_dim**0.5)(item_vectors(history))
    events = Dropout(dropout)(events)
    has_times = relative_time and "history_age" in schema
    for _ in range(num_blocks):
        bias = TimeGapBias()(schema.input("history_age")) if has_times else None
        block = PointwiseAttentionBlock(num_heads, history.shape[1], dropout)
        events = block(events, history != PADDING, bias)
    positions = unit_length(events) / temperature
    return Towers(query=positions[:, -1], positions=positions, item=unit_length(item_vectors(item)))
