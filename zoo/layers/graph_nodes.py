"""Vectors of users and items by message passing over the graph of who liked what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import keras
import tensorflow as tf
from keras import layers, ops

from zoo.errors import UserError
from zoo.layers.basic import Embedding
from zoo.layers.derived import DerivedLayer
from zoo.layers.fold_in import each_liked_once
from zoo.layers.graph import LikedGraph, OnceAGraph
from zoo.schema import Schema

if TYPE_CHECKING:
    from zoo.types import Shape, Tensor

# The next vectors of nodes from the number of the round, from 0, their own vectors, and what they receive.
Update: TypeAlias = Callable[[int, "Tensor", "Tensor"], "Tensor"]
# The final vectors of nodes from those of all rounds, the first being what they start with.
Combine: TypeAlias = Callable[[Sequence["Tensor"]], "Tensor"]


class GraphNodes:
    """The vectors of a user and of an item after some rounds of message passing.

    In every round each node receives the sum of its neighbours' vectors, normalized as in `LikedGraph`, and `update`
    makes its next vector of that. The vectors of all rounds are combined in the end.

    Training runs the rounds over the whole graph in each step. A trained model has the final vectors in tables, and a
    user of the graph has its own from there, whatever the history. A user without edges in the graph, because the user
    is unknown or has arrived since, starts with zeros and receives in every round what the liked items of the history
    send. That is what the rounds would give if the user were in the graph, except that items do not learn of the user.

    Args:
        schema: The schema of the data.
        dim: Width of the vectors that nodes start with.
        rounds: How many rounds, at least 1.
        update: See `Update`.
        combine: See `Combine`.
        parts: The layers that `update` calls.
        view: The round whose vectors are the views.
        stddev: Spread of the vectors that nodes start with.

    Attributes:
        user: `[batch, width]`, the symbolic final vectors of the query.
        item: `[batch, width]`, those of the item.
        views: In training the vectors of query and item after the round `view`, `[batch, dim]`. A trained model gives
            final vectors there too. Without `view` there are none.

    Raises:
        UserError: If `rounds` is below 1, or `view` is none of the rounds.
    """

    def __init__(
        self,
        schema: Schema,
        dim: int,
        rounds: int,
        update: Update,
        combine: Combine,
        *,
        parts: Sequence[keras.layers.Layer] = (),
        view: int | None = None,
        stddev: float = 0.1,
    ) -> None:
        if rounds < 1:
            raise UserError(f"rounds must be at least 1. Received: {rounds}.")
        if view is not None and not 1 <= view <= rounds:
            raise UserError(f"The round that is compared must be from 1 to rounds={rounds}. Received: {view}.")
        users, items = (Embedding(schema.size(of), dim, stddev=stddev, name=f"{of}_start") for of in ("user", "item"))
        graph = LikedGraph(schema.size("user"), schema.size("item"))
        rules = _Rules(update, combine, rounds, view)
        nodes = Propagation(graph, users, items, rules, parts, name="propagation")
        user = _Users(nodes, name="graph_users")(schema.input("user"), schema.input("history"), each_liked_once(schema))
        item = _Items(nodes, name="graph_items")(schema.input("item"))
        self.user, self.item = user[0], item[0]
        self.views = None if view is None else (user[1], item[1])


class _Rules:
    """How vectors follow from each other."""

    def __init__(self, update: Update, combine: Combine, rounds: int, view: int | None) -> None:
        self.update, self.combine, self.rounds, self.view = update, combine, rounds, view

    def next(self, number: int, own: Tensor, received: Tensor) -> Tensor:
        """The next vectors, in float32 whatever the layers of the rules compute in."""
        return ops.cast(self.update(number, own, received), "float32")

    def final(self, of_rounds: Sequence[Tensor]) -> list[Tensor]:
        """The final vectors and the views."""
        final = self.combine(of_rounds)
        return [final, final if self.view is None else of_rounds[self.view]]


# Not registered with Keras, because its config would hold functions. `keras.Model.save` needs no config of it: a saved
# model is its recipe, which builds the architecture with all of its layers again.
class Propagation(DerivedLayer):
    """The rounds over the whole graph, and the tables of what comes of them; see `GraphNodes`.

    Args:
        graph: Who liked what.
        users: What users start with.
        items: What items start with.
        rules: How vectors follow from each other.
        parts: The layers that the rules call.
        **kwargs: Those of a Keras layer.
    """

    def __init__(
        self,
        graph: LikedGraph,
        users: Embedding,
        items: Embedding,
        rules: _Rules,
        parts: Sequence[keras.layers.Layer],
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.graph, self.users, self.items, self.rules, self.parts = graph, users, items, rules, list(parts)
        self.in_training = OnceAGraph(lambda: self.propagate()[0])

    def build(self, *_: Shape) -> None:
        """Makes the tables, and builds the layers of the rules."""
        for start in (self.users, self.items):
            if not start.built:
                start.build(None)
        of_rounds = [tf.zeros((1, self.users.dim))]
        for number in range(self.rules.rounds):
            of_rounds.append(self.rules.update(number, of_rounds[-1], tf.zeros_like(of_rounds[-1])))
        final = self.rules.combine(of_rounds).shape[-1]
        self.widths = [vectors.shape[-1] for vectors in of_rounds[:-1]]
        sizes = {"user_vectors": (self.users.rows, final), "item_vectors": (self.items.rows, final)}
        sizes |= {"sent_by_items": (self.items.rows, sum(self.widths)), "is_new": (self.users.rows, 1)}
        for name, shape in sizes.items():
            value = "ones" if name == "is_new" else "zeros"
            table = self.add_weight(name=name, shape=shape, initializer=value, trainable=False, autocast=False)
            setattr(self, name, table)

    def propagate(self) -> tuple[list[Tensor], list[Tensor]]:
        """The final vectors and views of users and of items, and the vectors of items in all rounds."""
        users, items = ([tf.convert_to_tensor(start.embeddings.value)] for start in (self.users, self.items))
        for number in range(self.rules.rounds):
            to_users, to_items = self.graph.to_users(items[-1]), self.graph.to_items(users[-1])
            users.append(self.rules.next(number, users[-1], to_users))
            items.append(self.rules.next(number, items[-1], to_items))
        return [*self.rules.final(users), *self.rules.final(items)], items

    def fold_in(self, history: Tensor, liked: Tensor) -> Tensor:
        """`[batch, length]` items and what each counts to the final vectors of users who have liked them."""
        received = ops.matmul(liked[:, None], ops.take(self.sent_by_items, history, axis=0))[:, 0]
        received /= ops.sqrt(ops.maximum(ops.sum(liked, axis=1, keepdims=True), 1.0))
        of_rounds, start = [ops.zeros_like(received[:, : self.widths[0]])], 0
        for number, width in enumerate(self.widths):
            of_rounds.append(self.rules.next(number, of_rounds[-1], received[:, start : start + width]))
            start += width
        return self.rules.combine(of_rounds)

    def derive(self) -> None:
        """Runs the rounds, and keeps the vectors."""
        (users, _, items, _), of_rounds = self.propagate()
        is_new = tf.cast(self.graph.user_counts.value == 0, tf.float32)[:, None]
        self.user_vectors.assign((1 - is_new) * users)
        self.is_new.assign(is_new)
        self.item_vectors.assign(items)
        self.sent_by_items.assign(self.graph.sent(tf.concat(of_rounds[:-1], axis=1)))


class _Reader(layers.Layer):
    """A layer that reads vectors of a `Propagation`."""

    def __init__(self, nodes: Propagation, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.nodes = nodes

    def build(self, *_: Shape) -> None:
        if not self.nodes.built:
            self.nodes.build()
            self.nodes.built = True


class _Users(_Reader):
    """Final vectors and views of users."""

    def call(self, users: Tensor, history: Tensor, liked: Tensor, training: bool = False) -> list[Tensor]:
        if training:
            return [tf.gather(vectors, users) for vectors in self.nodes.in_training()[:2]]
        folded = self.nodes.fold_in(history, liked)
        is_new = ops.take(self.nodes.is_new, users, axis=0)
        vectors = ops.take(self.nodes.user_vectors, users, axis=0) + is_new * folded
        return [vectors, vectors]


class _Items(_Reader):
    """Final vectors and views of items."""

    def call(self, items: Tensor, training: bool = False) -> list[Tensor]:
        if training:
            return [tf.gather(vectors, items) for vectors in self.nodes.in_training()[2:]]
        vectors = ops.take(self.nodes.item_vectors, items, axis=0)
        return [vectors, vectors]
