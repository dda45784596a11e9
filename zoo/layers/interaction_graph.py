"""A graph of one user, past items and the target, over which attention runs (ELCoRec, 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from zoo.errors import UserError
from zoo.layers.basic import Embedding
from zoo.layers.catalogue import CatalogueRows
from zoo.layers.features import ABSENT, FeatureNodes, IdEmbedding, NumericEmbedding, masked_mean
from zoo.schema import FIRST_KNOWN, PADDING, Feature, Schema

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# The layer that gives the vector of the target, by which an architecture that starts from a trained graph finds it.
TARGET = "graph_target"


class InteractionGraph:
    """The graph of one sample, and what two layers of graph attention make of its user and its target.

    Nodes are the user; the items, which are the target and the last `recent` events; and the values that the
    target has in one categorical feature, such as its genres. The user starts as a projection of all user and
    context features; an item as one of its id, its rating (that of the target is unknown), the time since the
    event and its texts; a value as its embedding. Messages go from items to the user and back, and from items
    to the values they have and back, by a `GraphAttention` each, and are summed where they arrive. The first
    layer has several heads side by side, the second has one.

    States that reach neither user nor target within two layers are not computed: those of values that the
    target does not have, and the second ones of past items. All tensors are dense and masked, so it exports.

    Args:
        schema: The schema of the data.
        dim: Width of the nodes before the first layer.
        recent: How many of the last events are nodes.
        heads: Heads of the first layer.
        units: Width of a head, and of the vectors in the end.
        feature: The categorical item feature whose values are nodes; by default the first with several
            values an item, else the first, and none where items have no such feature.
        rounds: 2 layers; 0 leaves user and target at projections of what they start as.
        self_loops: Whether a node adds a projection of its own state to its messages. Without, as in the
            paper, what an item starts as never reaches its own final state.
        time: Whether items have the time since the event.
        ratings: Whether items have their ratings.
        id_dropout: Share of ids whose own vector is dropped in training; see `IdEmbedding`.

    Attributes:
        query: Symbolic tensors made of only the query.
        item: Symbolic tensors made of only the item.
        user: `[batch, units]`, made of `query` and `item`.
        target: `[batch, units]`, likewise.
        item_ids: The `IdEmbedding` of items.
        attention: What weighs how much, by name, over the items with the target as the last:
            `"user_1"` `[batch, heads, items]` and `"user_2"` `[batch, 1, items]` in the user's states, and
            `"values"` `[batch, values * heads, items]` in the first states of the target's values.

    Raises:
        UserError: If `rounds` is neither 0 nor 2, a width is below 1, or items do not have the feature.

    Example:

    >>> graph = InteractionGraph(Schema.of_ids(num_users=5, num_items=7), recent=3)
    >>> graph.target.shape
    (None, 32)
    """

    def __init__(
        self,
        schema: Schema,
        *,
        dim: int = 64,
        recent: int = 30,
        heads: int = 8,
        units: int = 32,
        feature: str | None = None,
        rounds: int = 2,
        self_loops: bool = True,
        time: bool = True,
        ratings: bool = True,
        id_dropout: float = 0.0,
    ) -> None:
        if rounds not in (0, 2):
            raise UserError(f"The graph has rounds=2, or 0 to leave them out. Received: rounds={rounds}.")
        if min(dim, recent, heads, units) < 1:
            raise UserError(
                "Expected widths, heads and recent of at least 1. "
                f"Received: dim={dim}, recent={recent}, heads={heads}, units={units}."
            )
        self._schema, self._dim, self._recent, self._id_dropout = schema, dim, recent, id_dropout
        self._heads, self._units, self._self_loops = heads, units, self_loops
        self.item_ids = IdEmbedding(schema.size("item"), dim, dropout=id_dropout, name="graph_items")
        user = self._user_node()
        past, own = item_nodes(schema, self.item_ids, dim, recent, time=time, ratings=ratings)
        is_event = schema.input("history")[:, -recent:] != PADDING
        self.query, self.item = [user, past, is_event], [own]
        self.attention: dict[str, Tensor] = {}
        if rounds:
            self._propagate(user, past, own, is_event, value_feature(schema, feature))
        else:
            self.user = layers.Dense(units)(layers.Concatenate()([user, masked_mean(past, is_event)]))
            self.target = layers.Dense(units)(own)
        self.target = layers.Identity(name=TARGET)(self.target)

    def _user_node(self) -> Tensor:
        known = FeatureNodes(self._schema, ("user", "context"), self._dim, self._id_dropout)
        return layers.Dense(self._dim)(_joined(known.all))

    def _propagate(self, user: Tensor, past: Tensor, own: Tensor, is_event: Tensor, feature: Feature | None) -> None:
        wide, narrow = self._heads * self._units, self._units
        relations = ("items_to_user", "items_to_values", "values_to_items")
        first = {name: GraphAttention(self._heads, narrow, name=f"graph_{name}_1") for name in relations}
        values_to_items_2 = GraphAttention(1, narrow, name="graph_values_to_items_2")
        items_to_user_2 = GraphAttention(1, name="graph_items_to_user_2")
        # Applied to past items once a query, and not once for every candidate.
        project = layers.Dense(narrow, use_bias=False, name="graph_items_to_user_2_projection")
        # An item has one user, to whom all of its attention goes.
        from_user = [
            layers.Dense(width, use_bias=False, name=f"graph_user_to_items_{number}")
            for number, width in enumerate((wide, narrow), start=1)
        ]
        item_loop = self._loop("item_1", wide)

        # The first layer. What past items become does not depend on the target.
        past_1 = item_loop(past) + from_user[0](user)[:, None]
        own_1 = item_loop(own) + from_user[0](user)
        if feature is not None:
            rows = CatalogueRows(self._schema.size("item"), feature)
            vectors = Embedding(feature.size, self._dim, name="graph_values")
            history, item = self._schema.input("history")[:, -self._recent :], self._schema.input("item")
            past_values, values = _as_list(rows(history), feature), _as_list(rows(item), feature)
            value = vectors(values)
            past_1 += _of_own_values(first["values_to_items"], vectors(past_values), past, past_values)
            own_1 += first["values_to_items"](value, own[:, None], (values >= FIRST_KNOWN)[:, None])[0][:, 0]
            self.item += [values, value]
            self.query.append(past_values)
        elif not self._self_loops:
            # Only the user's message reaches past items, and it is the same for each of them.
            past_1 = ops.tile(past_1, (1, past.shape[1], 1))
        # A model from `query` on has inputs in the place of the layers that made it, which it cannot apply again.
        past_1 = layers.Identity()(project(ops.elu(past_1)))
        self.query.append(past_1)
        every, is_there = _with_last(past, own), _with_last(is_event, ops.ones_like(is_event[:, 0]))
        to_user, self.attention["user_1"] = first["items_to_user"](every, user[:, None], is_there[:, None])
        user_1 = ops.elu(self._loop("user_1", wide)(user) + to_user[:, 0])
        own_1 = ops.elu(own_1)

        # The second layer.
        every_1 = _with_last(past_1, project(own_1))
        to_user, self.attention["user_2"] = items_to_user_2(every_1, user_1[:, None], is_there[:, None])
        self.user = self._loop("user_2", narrow)(user_1) + to_user[:, 0]
        self.target = self._loop("item_2", narrow)(own_1) + from_user[1](user_1)
        if feature is not None:
            shared = ops.logical_and(_share(values, past_values), is_event[:, None])
            has = _with_last(shared, values >= FIRST_KNOWN)
            to_values, self.attention["values"] = first["items_to_values"](every, value, has)
            value_1 = ops.elu(self._loop("value_1", wide)(value) + to_values)
            present = (values >= FIRST_KNOWN)[:, None]
            self.target += values_to_items_2(value_1, own_1[:, None], present)[0][:, 0]

    def _loop(self, name: str, width: int) -> Tensor:
        """What a node's own state adds to its next one."""
        return layers.Dense(width, use_bias=False, name=f"graph_{name}") if self._self_loops else lambda states: 0.0


def item_nodes(
    schema: Schema, item_ids: IdEmbedding, dim: int, recent: int, *, time: bool = True, ratings: bool = True
) -> tuple[Tensor, Tensor]:
    """The last events and the target as nodes: a projection of id, rating, time since the event and texts.

    Args:
        schema: The schema of the data.
        item_ids: Gives vectors to items.
        dim: Width of a node.
        recent: How many of the last events are nodes.
        time: Whether the time since an event is read, where events have one.
        ratings: Whether ratings are read; that of the target is unknown.

    Returns:
        `[batch, recent, dim]` nodes of events, and `[batch, dim]` of the target.
    """
    if recent < 1:
        raise UserError(f"recent must be at least 1. Received: {recent}.")
    history, item = schema.input("history")[:, -recent:], schema.input("item")
    past, own, width = [item_ids(history)], [item_ids(item)], max(dim // 2, 1)
    for feature in schema.role("item"):
        if feature.kind == "text":
            rows = CatalogueRows(schema.size("item"), feature)
            past.append(rows(history))
            own.append(rows(item))
    if ratings:
        past.append(NumericEmbedding(width)(schema.input("history_rating")[:, -recent:]))
        own.append(Constant(width)(item))
    if time and "history_age" in schema:
        past.append(TimeEmbedding(width)(schema.input("history_age")[:, -recent:]))
        own.append(TimeEmbedding(width)(ops.zeros_like(item)))
    project = layers.Dense(dim, name="item_nodes")
    return project(_joined(past)), project(_joined(own))


@keras.saving.register_keras_serializable("recozoo")
class GraphAttention(keras.layers.Layer):
    """The messages of one relation of a graph, by attention over the in-neighbours (Velickovic et al., 2018).

    In each head `e_ij = LeakyReLU(a_l W h_i + b h_j)` from `i` to `j`, softmax over `i`, and the message is the
    weighted sum of `W h_i`. Here `b` stands for the paper's `a_r W`, with a `W` of the destination's own.

    Args:
        heads: Heads, side by side in the result.
        units: Width of each. By default sources are not projected, because all heads share `W h_i` as it is given.

    Example:

    >>> source, destination = np.ones((2, 5, 4), "float32"), np.ones((2, 3, 4), "float32")
    >>> messages, weights = GraphAttention(heads=8, units=32)(source, destination, np.ones((2, 3, 5), bool))
    >>> messages.shape, weights.shape
    (TensorShape([2, 3, 256]), TensorShape([2, 24, 5]))
    """

    def __init__(self, heads: int, units: int | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.heads, self.units = heads, units

    def build(self, source_shape: Shape, destination_shape: Shape, *_: Shape) -> None:
        """Makes the weights."""
        width = source_shape[-1]
        if self.units is not None:
            self.kernel = self.add_weight(name="kernel", shape=(self.heads, width, self.units))
        self.of_source = self.add_weight(name="of_source", shape=(self.heads, self.units or width))
        self.of_destination = self.add_weight(name="of_destination", shape=(destination_shape[-1], self.heads))

    def call(self, source: Tensor, destination: Tensor, is_neighbour: Tensor) -> tuple[Tensor, Tensor]:
        """The messages to every destination.

        Args:
            source: `[batch, s, width]` states.
            destination: `[batch, d, width]` states.
            is_neighbour: `[batch, d, s]` bools: which source has an edge to which destination.

        Returns:
            `[batch, d, heads * units]` messages, zeros without in-neighbours, and `[batch, d * heads, s]` weights.
        """
        number, from_source = destination.shape[1], self.of_source
        if self.units is not None:
            from_source = ops.sum(self.kernel * self.of_source[:, None], axis=-1)
        keys = ops.transpose(ops.matmul(source, ops.transpose(from_source)), (0, 2, 1))
        scores = keys[:, None] + ops.matmul(destination, self.of_destination)[..., None]
        there = is_neighbour[:, :, None]
        scores = ops.where(there, ops.leaky_relu(scores, negative_slope=0.2), ABSENT)
        # Not Keras' own, which warns of nodes with one possible neighbour.
        weights = tf.nn.softmax(scores) * ops.cast(there, scores.dtype)
        weights = ops.reshape(weights, (-1, number * self.heads, source.shape[1]))
        # Summed before they are projected, which gives the same with far less work.
        messages = ops.reshape(ops.matmul(weights, source), (-1, self.heads, source.shape[-1]))
        if self.units is not None:
            messages = ops.transpose(ops.matmul(ops.transpose(messages, (1, 0, 2)), self.kernel), (1, 0, 2))
        return ops.reshape(messages, (-1, number, self.heads * messages.shape[-1])), weights

    def compute_output_shape(self, source_shape: Shape, destination_shape: Shape, *_: Shape) -> tuple[Shape, Shape]:
        """Messages and weights."""
        batch, number = destination_shape[:2]
        width = self.units or source_shape[-1]
        assert number is not None
        assert width is not None
        return (batch, number, self.heads * width), (batch, number * self.heads, source_shape[1])


@keras.saving.register_keras_serializable("recozoo")
class TimeEmbedding(keras.layers.Layer):
    """A sinusoidal embedding of a duration (Vaswani et al., 2017), of the logarithm of one more than its minutes.

    So seconds differ from hours as hours do from months, and no angle is so large that rounding tells in it.

    Args:
        dim: Width of the vector.

    Example:

    >>> TimeEmbedding(8)(np.array([[0.0, 1.0]], "float32")).shape
    TensorShape([1, 2, 8])
    """

    def __init__(self, dim: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        # Wavelengths from 4 to 64; the logarithm of a century in minutes is 18.
        angles = 2 * np.pi / np.geomspace(4.0, 64.0, -(-dim // 2))
        self.angles, self.dim = angles.astype(np.float32), dim

    def call(self, days: Tensor) -> Tensor:
        """`[...]` days to `[..., dim]`."""
        minutes = ops.cast(days, "float32") * MINUTES_A_DAY
        angles = ops.log(minutes + 1.0)[..., None] * self.angles
        vectors = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)[..., : self.dim]
        return ops.cast(vectors, self.compute_dtype)


MINUTES_A_DAY = 24 * 60.0


@keras.saving.register_keras_serializable("recozoo")
class Constant(keras.layers.Layer):
    """A learned vector that is the same whatever the input.

    Args:
        dim: Its width.
    """

    def __init__(self, dim: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.dim = dim

    def build(self, *_: Shape) -> None:
        """Makes the vector."""
        self.vector = self.add_weight(name="vector", shape=(self.dim,))

    def call(self, items: Tensor) -> Tensor:
        """`[batch]` of anything to `[batch, dim]`."""
        return ops.broadcast_to(self.vector, (ops.shape(items)[0], self.dim))

    def compute_output_shape(self, shape: Shape) -> Shape:
        """One vector a row."""
        return (shape[0], self.dim)


def value_feature(schema: Schema, name: str | None = None) -> Feature | None:
    """The item feature whose values are nodes.

    Args:
        schema: The schema of the data.
        name: Its name; by default the first with several values an item, else the first.

    Returns:
        A categorical item feature, or `None` if items have none.

    Raises:
        UserError: If there is no such feature.
    """
    known = [feature for feature in schema.role("item") if feature.kind == "categorical"]
    if name is not None:
        if name not in [feature.name for feature in known]:
            names = ", ".join(feature.name for feature in known) or "none"
            raise UserError(f"{name!r} is no categorical feature of items. There are: {names}.")
        return schema[name]
    return min(known, key=lambda feature: feature.length is None, default=None)


def _joined(parts: list[Tensor]) -> Tensor:
    return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def _as_list(values: Tensor, feature: Feature) -> Tensor:
    return values if feature.length is not None else values[..., None]


def _with_last(nodes: Tensor, last: Tensor) -> Tensor:
    """`[batch, ..., n(, dim)]` nodes and one more, `[batch, ...(, dim)]`, behind them."""
    axis = len(last.shape) if nodes.dtype == "bool" else 1
    return ops.concatenate([nodes, ops.expand_dims(last, axis)], axis=axis)


def _share(values: Tensor, past_values: Tensor) -> Tensor:
    """`[batch, values, events]`: which past events have which of the `[batch, values]` values."""
    same = ops.equal(values[:, :, None, None], past_values[:, None])
    return ops.logical_and(ops.any(same, axis=-1), (values >= FIRST_KNOWN)[..., None])


def _of_own_values(relation: GraphAttention, vectors: Tensor, items: Tensor, values: Tensor) -> Tensor:
    """Messages to `[batch, n, dim]` items from the `[batch, n, values, dim]` values that each of them has."""
    number, dim = items.shape[1:]
    several = values.shape[-1]
    messages, _ = relation(
        ops.reshape(vectors, (-1, several, dim)),
        ops.reshape(items, (-1, 1, dim)),
        ops.reshape(values >= FIRST_KNOWN, (-1, 1, several)),
    )
    return ops.reshape(messages, (-1, number, messages.shape[-1]))
