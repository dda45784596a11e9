"""User neighbours: an item's score is the share of like-minded users who liked it (Herlocker et al., 1999).

The users of the training data stay in the model, which finds neighbours of any history.

Hparams:
    neighbors: The most similar users who count.
    pairs: Likings that the model has room for; null makes room for those of the training data.
"""

from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import ItemLogits
from zoo.layers import UserNeighbors, each_liked_once
from zoo.registry import register
from zoo.schema import Schema
from zoo.solvers.cooccurrence import positives


@register("userknn", solver="closed_form", query=("history",), paper="10.1145/312624.312682", tiny={"neighbors": 5})
def userknn(schema: Schema, *, neighbors: int = 50, pairs: int | None = None) -> ItemLogits:
    if neighbors < 1:
        raise UserError(f"userknn: neighbors must be at least 1. Received: {neighbors}.")
    vote = UserNeighbors(schema.size("user"), schema.size("item"), neighbors, pairs or 1)

    def remember(interactions: csr_matrix) -> dict[str, int]:
        vote.set_liked(positives(interactions))
        return {"pairs": vote.pairs}

    history = schema.input("history")
    return ItemLogits(logits=vote(history, each_liked_once(schema)), solver=remember, work=vote.sizes)
