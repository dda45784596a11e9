"""Graph convolutional matrix completion: messages by the level of a rating, and a softmax over the levels.

Van den Berg et al., 2017. A rating is the expectation over the levels that the training data have. Users who arrive
after training are answered from their history.

Hparams:
    units: Width of the message of a rating, for each level.
    embedding_dim: Width of the vectors of users and items.
    feature_units: Units of the layer over the features of a user, and of an item; 0 leaves features out.
    bases: Bilinear forms that the levels mix.
    dropout: Share of nodes whose messages are left out in training, and of units.
    most_levels: How many levels there is room for.
"""

from keras import layers, ops

from zoo.errors import UserError
from zoo.families import Pairs
from zoo.layers import (
    ConvolvedItems,
    FeatureNodes,
    MeanOfLevels,
    RatingConvolution,
    RatingGraph,
    each_once,
    event_labels,
)
from zoo.registry import register
from zoo.schema import Schema


@register(
    "gcmc",
    objective="rating_levels",
    query=("user", "history"),
    paper="arXiv:1706.02263",
    tiny={"units": 3, "embedding_dim": 4, "feature_units": 3},
)
def gcmc(
    schema: Schema,
    *,
    units: int = 100,
    embedding_dim: int = 75,
    feature_units: int = 10,
    bases: int = 2,
    dropout: float = 0.7,
    most_levels: int = 10,
) -> Pairs:
    if min(units, embedding_dim, bases, most_levels) < 1 or feature_units < 0:
        raise UserError(
            "gcmc: units, embedding_dim, bases and most_levels must be at least 1, feature_units at least 0."
        )
    graph = RatingGraph(schema.size("user"), schema.size("item"), most_levels)
    convolution = RatingConvolution(graph, units, embedding_dim, dropout, name="convolution")
    user = convolution(schema.input("user"), schema.input("history"), event_labels(schema), each_once(schema))
    item = ConvolvedItems(convolution, name="convolved_items")(schema.input("item"))

    def with_features(vector, role):
        features = FeatureNodes(schema, (role,), feature_units, ids=False).all if feature_units else []
        if not features:
            return vector
        hidden = layers.Dense(feature_units, activation="relu")(ops.concatenate(features, axis=-1))
        return vector + layers.Dense(embedding_dim, use_bias=False)(hidden)

    user, item = with_features(user, "user"), with_features(item, "item")
    forms = layers.Dense(bases * embedding_dim, use_bias=False, kernel_initializer="orthogonal")(user)
    forms = layers.Reshape((bases, embedding_dim))(forms)
    logits = layers.Dense(most_levels, use_bias=False)(ops.sum(forms * item[:, None], axis=-1))
    rating, *levels = MeanOfLevels(graph)(logits)
    return Pairs(query=forms, item=item, logit=rating, levels=levels)
