"""An autoencoder of users: what they met is encoded and the whole catalogue decoded (AutoRec, Sedhain et al., 2015)."""

from keras import layers, ops

from zoo.layers import MultiHot
from zoo.recommender import Catalogue
from zoo.registry import register


@register(
    "autoencoder",
    objective="reconstruction",
    query=("history",),
    paper="10.1145/2740908.2742726",
    tiny={"hidden": 8},
)
def autoencoder(schema, *, hidden=256, activation="tanh", dropout=0.5):
    ratings = MultiHot(schema.size("item"))(schema.input("history"), schema.input("history_rating"))
    # Unit length, so that users with long and short histories look alike (Liang et al., 2018).
    norm = ops.sqrt(ops.sum(ratings * ratings, axis=1, keepdims=True) + 1e-12)
    ratings = layers.Dropout(dropout)(ratings / norm)
    code = layers.Dense(hidden, activation=activation)(ratings)
    return Catalogue(logits=layers.Dense(schema.size("item"))(code))
