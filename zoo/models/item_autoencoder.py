"""An autoencoder of items: it encodes who rated an item and how, and decodes a rating of every user (I-AutoRec).

Sedhain et al., 2015. A user's row of the decoder is the query tower, an item's code the item tower.

Hparams:
    hidden: Width of the code.
    activation: Activation of the code.
    dropout: Share of an item's ratings hidden from the encoder in training.
"""

from keras import layers
from keras.initializers import RandomNormal

from zoo.families import Towers
from zoo.layers import Dropout, Embedding, InteractionRows, largest_label
from zoo.registry import register
from zoo.schema import Schema


@register(
    "item_autoencoder",
    objective="item_reconstruction",
    query=("user",),
    paper="10.1145/2740908.2742726",
    tiny={"hidden": 8},
)
def item_autoencoder(schema: Schema, *, hidden: int = 500, activation: str = "sigmoid", dropout: float = 0.0) -> Towers:
    user, item = schema.input("user"), schema.input("item")
    ratings = InteractionRows(schema.size("item"), schema.size("user"))(item)
    # On a scale up to 5, like the paper's. Much smaller ratings would leave the sigmoid next to linear.
    ratings = Dropout(dropout)(ratings * (5 / largest_label(schema)))
    return Towers(
        query=Embedding(schema.size("user"), hidden, stddev=0.005)(user),
        query_bias=Embedding(schema.size("user"), 1)(user),
        item=layers.Dense(hidden, activation, kernel_initializer=RandomNormal(stddev=0.005))(ratings),
    )
