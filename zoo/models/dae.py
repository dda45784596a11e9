"""A denoising autoencoder of users with a multinomial likelihood (Mult-DAE; Liang et al., 2018).

It is trained by the objective `reconstruction`, to find items of which a share is hidden from it.

Hparams:
    hidden: Units of the layers between the items and the code, on either side; none in the paper's best model.
    code: Width of the code.
    dropout: Share of the items hidden in training.
"""

from keras import layers

from zoo.families import ItemLogits
from zoo.layers import Dropout, check_autoencoder, liked_items, mlp, unit_length
from zoo.registry import register
from zoo.schema import Schema


@register("dae", objective="reconstruction", query=("history",), paper="arXiv:1802.05814", tiny={"code": 8})
def dae(schema: Schema, *, hidden: tuple[int, ...] = (), code: int = 200, dropout: float = 0.5) -> ItemLogits:
    num_items = schema.size("item")
    check_autoencoder(num_items, [*hidden, code][0])
    liked = Dropout(dropout)(unit_length(liked_items(schema)))
    units = mlp(liked, [*hidden, code, *reversed(hidden)], activation="tanh")
    return ItemLogits(logits=layers.Dense(num_items)(units))
