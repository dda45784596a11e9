"""Item neighbours: an item's score is how similar the items of the history are to it (Sarwar et al., 2001).

Hparams:
    neighbors: How many of the items most similar to an item count.
    shrinkage: Added to the squared lengths under the cosine, so that few common users make no great similarity.
    weighting: What a liking says before items are compared: plain, tfidf or bm25.
    pairs: Pairs of neighbours that the model has room for; null makes room for those that the data has.
"""

from scipy.sparse import csr_matrix

from zoo.errors import UserError
from zoo.families import ItemLogits
from zoo.layers import SparseRows, each_liked_once
from zoo.registry import register
from zoo.schema import Schema
from zoo.solvers.cooccurrence import positives
from zoo.solvers.nearest import nearest_columns
from zoo.solvers.weightings import WEIGHTINGS


@register("itemknn", solver="closed_form", query=("history",), paper="10.1145/371920.372071", tiny={"neighbors": 5})
def itemknn(
    schema: Schema,
    *,
    neighbors: int = 100,
    shrinkage: float = 10.0,
    weighting: str = "plain",
    pairs: int | None = None,
) -> ItemLogits:
    if neighbors < 1 or shrinkage < 0:
        raise UserError(
            "itemknn: neighbors must be at least 1 and shrinkage at least 0. "
            f"Received: neighbors={neighbors}, shrinkage={shrinkage}."
        )
    weigh = WEIGHTINGS[weighting].weigh
    similarities = SparseRows(schema.size("item"), schema.size("item"), pairs or 1)

    def compare(interactions: csr_matrix) -> dict[str, int]:
        nearest = nearest_columns(weigh(positives(interactions)), neighbors, shrinkage)
        similarities.set(nearest.T.tocsr())
        return {"pairs": similarities.pairs}

    history = schema.input("history")
    return ItemLogits(logits=similarities(history, each_liked_once(schema)), solver=compare, work=similarities.sizes)
