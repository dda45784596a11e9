"""A graph of the user, past items, the target and its values, over which attention runs (the expert of ELCoRec, 2024).

It reads the query and the item together, so it scores a catalogue pair by pair; `elcorec` has towers of the same
features.

Hparams:
    rounds: 2 layers of attention; 0 leaves them out.
    embedding_dim: Width of a feature's vector and of a node.
    hidden: Units of each layer of the MLP in the end.
    dropout: Share of units dropped after each of them.
    id_dropout: Share of the examples in which ids do without what was learned of them.
    recent: How many of the last events of a history are nodes.
    heads: Heads of the first layer of attention.
    units: Width of a head.
    feature: The item feature whose values are nodes; by default the first with several values an item.
    self_loops: Whether a node keeps its own state beside its messages; the paper's does not.
    time: Whether the time since an event is read.
    ratings: Whether the ratings of past events are read one by one.
    head: "scaled" is the cosine of user and target with a learned scale and bias, plus explicit interactions of all
        features. "cosine" is the paper's, whose log loss cannot fall below 0.313.
"""

from collections.abc import Sequence

from keras import layers, ops
from keras_rs.layers import FeatureCross

from zoo.errors import unknown_name
from zoo.families import Pairs
from zoo.layers import InteractionGraph, mlp, query_and_item, unit_length
from zoo.registry import register
from zoo.schema import Schema


@register(
    "elcorec_graph",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="arXiv:2406.18825",
    tiny={"embedding_dim": 4, "heads": 2, "units": 4, "recent": 3, "hidden": (8,)},
)
def elcorec_graph(
    schema: Schema,
    *,
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
) -> Pairs:
    if head not in ("scaled", "cosine"):
        raise unknown_name("head", head, ("scaled", "cosine"))
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
