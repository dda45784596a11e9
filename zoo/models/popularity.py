"""A baseline that is the same for everybody: an item's score is the share of users who liked it."""

import numpy as np
from keras import ops
from scipy.sparse import csr_matrix

from zoo.families import ItemLogits
from zoo.layers import Embedding
from zoo.registry import register
from zoo.schema import FIRST_KNOWN, Schema


@register("popularity", solver="closed_form", query=("user",), tiny={})
def popularity(schema: Schema) -> ItemLogits:
    user = schema.input("user")
    shares = Embedding(schema.size("item"), 1, trainable=False)
    everyone = ops.zeros_like(user)[:, None] + ops.arange(schema.size("item"), dtype="int32")

    def count(interactions: csr_matrix) -> None:
        liked = (interactions > 0).sum(axis=0)
        shares.set_weights([np.asarray(liked, np.float32).reshape(-1, 1) / (interactions.shape[0] - FIRST_KNOWN)])

    return ItemLogits(logits=shares(everyone)[..., 0], solver=count)
