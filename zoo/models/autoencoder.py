"""An autoencoder of users: it encodes what a user has seen and decodes the whole catalogue (Sedhain et al., 2015).

Hparams:
    hidden: Width of the code.
    activation: Activation of the code; the paper has a sigmoid.
    dropout: Share of the interactions hidden from the encoder in training.
"""

from keras import layers, ops

from zoo.families import ItemLogits
from zoo.layers import Dropout, MultiHot
from zoo.registry import register
from zoo.schema import Schema


@register(
    "autoencoder",
    objective="reconstruction",
    query=("history",),
    paper="10.1145/2740908.2742726",
    tiny={"hidden": 8},
)
def autoencoder(schema: Schema, *, hidden: int = 256, activation: str = "tanh", dropout: float = 0.5) -> ItemLogits:
    ratings = MultiHot(schema.size("item"))(schema.input("history"), schema.input("history_rating"))
    # Unit length, so that users with long and short histories look alike (Liang et al., 2018).
    norm = ops.sqrt(ops.sum(ratings * ratings, axis=1, keepdims=True) + 1e-12)
    ratings = Dropout(dropout)(ratings / norm)
    code = layers.Dense(hidden, activation=activation)(ratings)
    return ItemLogits(logits=layers.Dense(schema.size("item"))(code))
