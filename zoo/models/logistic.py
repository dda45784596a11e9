"""Logistic regression on every feature and a summary of the history, without interactions (Richardson et al., 2007).

Hparams:
    id_dropout: Share of the examples in which ids do without what was learned of them.
    recent: How many of the last events of a history have weights of their own.
"""

from zoo.families import Pairs
from zoo.layers import feature_values, linear_query, linear_terms
from zoo.registry import register
from zoo.schema import Schema


@register(
    "logistic",
    objective="pointwise",
    query=("user", "history", "context"),
    paper="10.1145/1242572.1242643",
    tiny={"recent": 3},
)
def logistic(schema: Schema, *, id_dropout: float = 0.1, recent: int = 10) -> Pairs:
    query = linear_query(schema, feature_values(schema, ("user", "context")), id_dropout, recent)
    item = linear_terms(feature_values(schema, ("item",)), id_dropout)
    return Pairs(query=query, item=item, logit=query + item)
