"""Numeric and categorical features that propagate to each other, with texts and past events (ELCoRec, 2024).

Hparams:
    propagation: `"bipartite"`: towers, in which the numeric and the categorical features of a side exchange
        messages. `"graph"`: the paper's expert, a network over query and item in which attention runs over a
        graph of the user, past items, the target and the values of an item feature.
    rounds: How often messages are exchanged; 0 leaves them out. The graph has 2, or 0.
    embedding_dim: Width of a feature's vector, and of the final ones of towers.
    hidden: Units of each layer of the MLP in the end.
    dropout: Share of units dropped after each of them.
    id_dropout: Share of the examples in which ids do without what was learned of them.
    recent: How many of the last events of a history are read one by one.
    heads: Graph: heads of its first layer.
    units: Graph: width of a head.
    feature: Graph: the item feature whose values are nodes; by default the first with several values an item.
    self_loops: Graph: whether a node keeps its own state beside its messages; the paper's does not.
    time: Whether the time since an event is read.
    ratings: Whether the ratings of past events are read one by one.
    head: Graph: "scaled" is the cosine of user and target with a learned scale and bias, plus explicit
        interactions of all features. "cosine" is the paper's, whose log loss cannot fall below 0.313.
"""

from collections.abc import Sequence
from typing import Any

from keras import layers, ops
from keras_rs.layers import FeatureCross

from zoo.errors import unknown_name
from zoo.families import Pairs, Towers
from zoo.layers import (
    AttentionPooling,
    CoPropagation,
    FeatureNodes,
    HistorySummary,
    InteractionGraph,
    NumericEmbedding,
    item_nodes,
    mlp,
    query_and_item,
    unit_length,
)
from zoo.registry import register
from zoo.schema import PADDING, Schema


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
    propagation: str = "bipartite",
    rounds: int = 2,
    embedding_dim: int = 32,
    hidden: Sequence[int] = (64,),
    dropout: float = 0.1,
    id_dropout: float = 0.1,
    recent: int = 30,
    heads: int = 8,
    units: int = 32,
    feature: str | None = None,
    self_loops: bool = True,
    time: bool = True,
    ratings: bool = True,
    head: str = "scaled",
) -> Towers | Pairs:
    if head not in ("scaled", "cosine"):
        raise unknown_name("head", head, ("scaled", "cosine"))
    if propagation == "bipartite":
        return _towers(schema, rounds, embedding_dim, hidden, dropout, id_dropout, recent, time, ratings)
    if propagation != "graph":
        raise unknown_name("propagation", propagation, ("bipartite", "graph"))
    graph = InteractionGraph(
        schema,
        dim=embedding_dim,
        recent=recent,
        heads=heads,
        units=units,
        feature=feature,
        rounds=rounds,
        self_loops=self_loops,
        time=time,
        ratings=ratings,
        id_dropout=id_dropout,
    )
    cosine = ops.sum(unit_length(graph.user) * unit_length(graph.target), axis=-1, keepdims=True)
    if head == "cosine":
        return Pairs(query=graph.query, item=graph.item, logit=cosine)
    query, item = query_and_item(schema, embedding_dim, dropout=dropout, id_dropout=id_dropout, recent=10)
    every = crossed = ops.concatenate([query.joined, item.joined, graph.user, graph.target], axis=-1)
    for _ in range(2):
        crossed = FeatureCross(projection_dim=64)(every, crossed)
    return Pairs(
        query=[*graph.query, query.joined],
        item=[*graph.item, item.joined],
        logit=layers.Dense(1)(mlp(crossed, hidden, dropout)) + layers.Dense(1, kernel_initializer="ones")(cosine),
    )


def _towers(
    schema: Schema,
    rounds: int,
    embedding_dim: int,
    hidden: Sequence[int],
    dropout: float,
    id_dropout: float,
    recent: int,
    time: bool,
    ratings: bool,
) -> Towers:
    user = FeatureNodes(schema, ("user", "context"), embedding_dim, id_dropout)
    item = FeatureNodes(schema, ("item",), embedding_dim, id_dropout)
    summary = HistorySummary(schema, item.ids["item"], recent=10)
    events, _ = item_nodes(schema, item.ids["item"], embedding_dim, recent, time=time, ratings=ratings)
    met = schema.input("history")[:, -recent:] != PADDING
    user.categorical += [*summary.vectors, AttentionPooling()(events, met)]
    user.numeric += [NumericEmbedding(embedding_dim)(number) for number in summary.numbers]

    def side(nodes: FeatureNodes) -> Any:
        every = categorical = ops.stack(nodes.categorical, axis=1)
        if nodes.numeric:
            every = ops.concatenate(CoPropagation(rounds)(ops.stack(nodes.numeric, axis=1), categorical), axis=1)
        crossed = FeatureCross(projection_dim=embedding_dim)(layers.Flatten()(every))
        shallow = layers.Concatenate()([crossed, *nodes.text]) if nodes.text else crossed
        # Dot products of what is shallow too, such as of the mean of past items and the target, need no MLP.
        return layers.Concatenate()([shallow, mlp(shallow, hidden, dropout)])

    query_units, item_units = side(user), side(item)
    return Towers(
        # Dot products of vectors this wide would start out as far from 0 as a sigmoid can tell.
        query=layers.Dense(embedding_dim)(query_units) / embedding_dim**0.5,
        query_bias=layers.Dense(1)(query_units),
        item=layers.Dense(embedding_dim)(item_units),
        item_bias=layers.Dense(1)(item_units),
    )
