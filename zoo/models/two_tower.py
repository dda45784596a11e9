"""A query tower over all features of a query and an item tower over all features of an item (Yi et al., 2019).

The query tower reads user features, context and the mean of the items seen, as in Covington et al. (2016,
10.1145/2959100.2959190).

Hparams:
    embedding_dim: Width of the vector of a feature.
    hidden: Units of each layer of a tower.
    dim: Width of the final vectors.
    dropout: Share of units dropped after each layer.
    normalize: Whether final vectors have length 1, so that a score is a cosine over the temperature.
    temperature: What scores are divided by; cosines need one well below 1.
"""

from collections.abc import Sequence

import keras
from keras import layers

from zoo.errors import UserError
from zoo.families import Towers
from zoo.layers import Embedding, FeatureNodes, HistoryPooling, mlp, unit_length
from zoo.registry import register
from zoo.schema import Schema


@register(
    "two_tower",
    objective="in_batch_softmax",
    query=("user", "history", "context"),
    paper="10.1145/3298689.3346996",
    tiny={"embedding_dim": 4, "hidden": (8,), "dim": 4},
)
def two_tower(
    schema: Schema,
    *,
    embedding_dim: int = 32,
    hidden: Sequence[int] = (128,),
    dim: int = 64,
    dropout: float = 0.0,
    normalize: bool = True,
    temperature: float = 0.1,
) -> Towers:
    if not temperature > 0:
        raise UserError(f"temperature must be above 0. Received: {temperature}.")
    query = FeatureNodes(schema, ("user", "context"), embedding_dim)
    item = FeatureNodes(schema, ("item",), embedding_dim)
    history, ratings = schema.input("history"), schema.input("history_rating")
    seen = Embedding(schema.size("item"), embedding_dim)(history)
    query.categorical.append(HistoryPooling()(seen, history, ratings))

    def tower(nodes: FeatureNodes) -> keras.KerasTensor:
        vector = layers.Dense(dim)(mlp(layers.Concatenate()(nodes.all), hidden, dropout))
        return unit_length(vector) if normalize else vector

    return Towers(query=tower(query) / temperature, item=tower(item))
