"""Numeric and categorical features that propagate to each other, with text vectors (ELCoRec, 2024).

Hparams:
    embedding_dim: Width of a node and of the final vectors.
    rounds: How often numeric and categorical nodes exchange messages.
    hidden: Units of each layer on top of the nodes of a side.
    dropout: Share of units dropped after each of them.
    recent: How many of the last events of a history are read.
"""

from collections.abc import Sequence
from typing import Any

from keras import layers, ops
from keras_rs.layers import FeatureCross

from zoo.layers import (
    CoPropagation,
    Embedding,
    FeatureNodes,
    HistoryPooling,
    mlp,
)
from zoo.recommender import Towers
from zoo.registry import register
from zoo.schema import Schema


@register(
    "elcorec",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="arXiv:2406.18825",
    tiny={"embedding_dim": 4, "rounds": 1, "hidden": (8,)},
)
def elcorec(
    schema: Schema,
    *,
    embedding_dim: int = 32,
    rounds: int = 2,
    hidden: Sequence[int] = (64,),
    dropout: float = 0.1,
    recent: int = 30,
) -> Towers:
    user = FeatureNodes(schema, ("user", "context"), embedding_dim)
    item = FeatureNodes(schema, ("item",), embedding_dim)
    history, ratings = (schema.input(name)[:, -recent:] for name in ("history", "history_rating"))
    met = Embedding(schema.size("item"), embedding_dim)(history)
    user.categorical.append(HistoryPooling()(met, history, ratings))

    def side(nodes: FeatureNodes) -> Any:
        every = categorical = ops.stack(nodes.categorical, axis=1)
        if nodes.numeric:
            every = ops.concatenate(CoPropagation(rounds)(ops.stack(nodes.numeric, axis=1), categorical), axis=1)
        crossed = FeatureCross(projection_dim=embedding_dim)(layers.Flatten()(every))
        both = layers.Concatenate()([crossed, *nodes.text]) if nodes.text else crossed
        return layers.Dense(embedding_dim)(mlp(both, hidden, dropout))

    return Towers(
        # Dot products of vectors this wide would start out as far from 0 as a sigmoid can tell.
        query=side(user) / embedding_dim**0.5,
        item=side(item),
        item_bias=Embedding(schema.size("item"), 1)(schema.input("item")),
    )
