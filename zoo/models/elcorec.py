"""Towers whose numeric and categorical features propagate to each other, with texts and past events (ELCoRec, 2024).

The numeric and the categorical features of a side exchange messages, as those of the paper's graph do, but the query
and the item are read apart. So a whole catalogue is ranked by one matrix product. The paper's own expert, a network
over the query and the item together, is `elcorec_graph`.

Hparams:
    rounds: How often messages are exchanged; 0 leaves them out.
    embedding_dim: Width of a feature's vector and of the final vectors.
    hidden: Units of each layer of the MLP in the end.
    dropout: Share of units dropped after each of them.
    id_dropout: Share of the examples in which ids do without what was learned of them.
    recent: How many of the last events of a history are read one by one.
    time: Whether the time since an event is read.
    ratings: Whether the ratings of past events are read one by one.
"""

from collections.abc import Sequence

import keras
from keras import layers, ops
from keras_rs.layers import FeatureCross

from zoo.families import Towers
from zoo.layers import (
    AttentionPooling,
    CoPropagation,
    FeatureNodes,
    HistorySummary,
    NumericEmbedding,
    item_nodes,
    mlp,
)
from zoo.registry import register
from zoo.schema import PADDING, Schema


@register(
    "elcorec",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="arXiv:2406.18825",
    tiny={"embedding_dim": 4, "rounds": 1, "hidden": (8,)},
    moved={
        "propagation": "elcorec_graph",
        "heads": "elcorec_graph",
        "units": "elcorec_graph",
        "feature": "elcorec_graph",
        "self_loops": "elcorec_graph",
        "head": "elcorec_graph",
    },
)
def elcorec(
    schema: Schema,
    *,
    rounds: int = 2,
    embedding_dim: int = 32,
    hidden: Sequence[int] = (64,),
    dropout: float = 0.1,
    id_dropout: float = 0.1,
    recent: int = 30,
    time: bool = True,
    ratings: bool = True,
) -> Towers:
    user = FeatureNodes(schema, ("user", "context"), embedding_dim, id_dropout)
    item = FeatureNodes(schema, ("item",), embedding_dim, id_dropout)
    summary = HistorySummary(schema, item.ids["item"], recent=10)
    events, _ = item_nodes(schema, item.ids["item"], embedding_dim, recent, time=time, ratings=ratings)
    is_event = schema.input("history")[:, -recent:] != PADDING
    user.categorical += [*summary.vectors, AttentionPooling()(events, is_event)]
    user.numeric += [NumericEmbedding(embedding_dim)(number) for number in summary.numbers]

    def side(nodes: FeatureNodes) -> keras.KerasTensor:
        every = categorical = ops.stack(nodes.categorical, axis=1)
        if nodes.numeric:
            every = ops.concatenate(CoPropagation(rounds)(ops.stack(nodes.numeric, axis=1), categorical), axis=1)
        crossed = FeatureCross(projection_dim=embedding_dim)(layers.Flatten()(every))
        shallow = layers.Concatenate()([crossed, *nodes.text]) if nodes.text else crossed
        # Some dot products need no MLP, such as that of the mean of past items and the target.
        return layers.Concatenate()([shallow, mlp(shallow, hidden, dropout)])

    query_units, item_units = side(user), side(item)
    return Towers(
        # Dot products of vectors this wide would start out as far from 0 as a sigmoid can tell.
        query=layers.Dense(embedding_dim)(query_units) / embedding_dim**0.5,
        query_bias=layers.Dense(1)(query_units),
        item=layers.Dense(embedding_dim)(item_units),
        item_bias=layers.Dense(1)(item_units),
    )
