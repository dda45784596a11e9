"""Numeric and categorical features that propagate to each other, with text vectors (ELCoRec, 2024)."""

from keras import layers

from zoo.layers import (
    CoPropagation,
    Embedding,
    FeatureNodes,
    HistoryPooling,
    PairwiseInteractions,
    mlp,
)
from zoo.recommender import Towers
from zoo.registry import register


@register(
    "elcorec",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="arXiv:2406.18825",
    tiny={"embedding_dim": 4, "rounds": 1, "hidden": (8,)},
)
def elcorec(schema, *, embedding_dim=32, rounds=2, hidden=(64,), dropout=0.1, recent=30):
    user = FeatureNodes(schema, ("user", "context"), embedding_dim)
    item = FeatureNodes(schema, ("item",), embedding_dim)
    history, ratings = (schema.input(name)[:, -recent:] for name in ("history", "history_rating"))
    met = Embedding(schema.size("item"), embedding_dim)(history)
    user.categorical.append(HistoryPooling()(met, history, ratings))

    def side(nodes):
        numeric, categorical = nodes.stack(nodes.numeric), nodes.stack(nodes.categorical)
        if numeric is not None:
            numeric, categorical = CoPropagation(rounds)(numeric, categorical)
        every = categorical if numeric is None else layers.Concatenate(axis=1)([numeric, categorical])
        parts = [layers.Flatten()(every), *nodes.text]
        if every.shape[1] > 1:
            parts.append(PairwiseInteractions(embedding_dim)(every))
        both = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
        return layers.Dense(embedding_dim)(mlp(both, hidden, dropout))

    return Towers(
        query=side(user),
        item=side(item),
        item_bias=Embedding(schema.size("item"), 1)(schema.input("item")),
    )
