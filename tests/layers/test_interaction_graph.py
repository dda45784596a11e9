"""Attention over the graph of one sample."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import UserError
from zoo.layers import InteractionGraph
from zoo.layers.interaction_graph import GraphAttention, TimeEmbedding, value_feature
from zoo.schema import FIRST_KNOWN, Feature, Schema, history_features

ITEMS, GENRES, LENGTH, DIM, HEADS, UNITS = 9, 6, 4, 5, 2, 3


def schema_of(*, values: int | None = 3, timed: bool = True) -> Schema:
    return Schema(
        [
            Feature("user", "user", "id", 7),
            Feature("age", "user", "numeric"),
            Feature("item", "item", "id", ITEMS),
            Feature("plot", "item", "text", 4),
            Feature("genres", "item", "categorical", GENRES, length=values),
            *history_features(ITEMS, LENGTH, largest_rating=5.0, threshold=3.0, is_ordered=timed),
            Feature("label", "label", "numeric"),
        ]
    )


class Made:
    """A graph with weights and a catalogue at random, and what it gives."""

    def __init__(self, seed: int = 0, schema: Schema | None = None, **options) -> None:
        keras.utils.set_random_seed(seed)
        self.schema, rng = schema or schema_of(), np.random.default_rng(seed)
        sizes = {"dim": DIM, "recent": LENGTH, "heads": HEADS, "units": UNITS}
        self.graph = InteractionGraph(self.schema, **{**sizes, **options})
        outputs = {"user": self.graph.user, "target": self.graph.target, **self.graph.attention}
        both = keras.layers.Concatenate()([self.graph.user, self.graph.target])
        self.model = keras.Model({one.name: one for one in keras.utils.get_source_inputs(both)}, outputs)
        for weight in self.model.weights:
            weight.assign(rng.normal(size=weight.shape).astype(weight.dtype.replace("int32", "float32")) * 0.7)
        genres = np.array([rng.permutation(np.arange(GENRES))[:3] for _ in range(ITEMS)])
        genres[FIRST_KNOWN] = 0  # no value of this item is known
        self.genres = genres[:, 0] if "genres" in self.schema and not self.schema["genres"].length else genres
        self.plots = rng.normal(size=(ITEMS, 4)).astype("float32")
        for layer in self.model.layers:
            if hasattr(layer, "feature_name"):
                layer.rows.assign({"genres": self.genres, "plot": self.plots}[layer.feature_name])

    def __call__(self, query: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        wanted = {one.name: query[one.name] for one in self.model.inputs}
        return {name: np.asarray(value) for name, value in self.model(wanted).items()}

    def layer(self, name: str):
        return self.model.get_layer(name)


def query_of(seed: int = 0, batch: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = np.arange(batch)[:, None] % (LENGTH + 1)
    there = np.arange(LENGTH) >= LENGTH - lengths
    return {
        "user": rng.integers(1, 7, batch).astype("int32"),
        "age": rng.normal(size=batch).astype("float32"),
        "item": rng.integers(FIRST_KNOWN, ITEMS, batch).astype("int32"),
        "history": np.where(there, rng.integers(FIRST_KNOWN, ITEMS, (batch, LENGTH)), 0).astype("int32"),
        "history_rating": np.where(there, rng.normal(size=(batch, LENGTH)), 0).astype("float32"),
        "history_age": np.where(there, rng.uniform(0, 100, (batch, LENGTH)), 0).astype("float32"),
    }


def attended(relation: GraphAttention, sources: list[np.ndarray], destination: np.ndarray) -> np.ndarray:
    """The message to one node by the formula, edge by edge."""
    *kernel, of_source, of_destination = (np.asarray(w) for w in relation.weights)
    units = of_source.shape[1]
    message = np.zeros(relation.heads * units)
    for head in range(relation.heads if sources else 0):
        projected = [state @ kernel[0][head] for state in sources] if kernel else sources
        raw = [state @ of_source[head] + destination @ of_destination[:, head] for state in projected]
        scores = np.exp([score if score > 0 else 0.2 * score for score in raw])
        weights = scores / scores.sum()
        mixed = sum(weight * state for weight, state in zip(weights, projected, strict=True))
        message[head * units : (head + 1) * units] = mixed
    return message


def elu(states: np.ndarray) -> np.ndarray:
    return np.where(states > 0, states, np.expm1(states))


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("values", [3, None])
def test_it_is_two_layers_of_attention_over_the_whole_graph(self_loops, values):
    """Against every node and every edge of every relation, in both layers, one at a time."""
    made, query = Made(schema=schema_of(values=values), self_loops=self_loops), query_of()
    given, genres = made(query), made.genres.reshape(ITEMS, -1)
    starts = keras.Model(
        made.model.input, {"user": made.graph.query[0], "past": made.graph.query[1], "own": made.graph.item[0]}
    )(query)
    table = np.asarray(made.layer("graph_values").weights[0])

    def dense(name, state):
        return state @ np.asarray(made.layer(name).weights[0])

    def loop(name, state):
        return dense(f"graph_{name}", state) if self_loops else 0.0

    for row in range(len(query["item"])):
        seen = [place for place in range(LENGTH) if query["history"][row, place]]
        items = [query["history"][row, place] for place in seen] + [query["item"][row]]
        item_0 = [np.asarray(starts["past"])[row, place] for place in seen] + [np.asarray(starts["own"])[row]]
        user_0 = np.asarray(starts["user"])[row]
        known = [[v for v in genres[item] if v >= FIRST_KNOWN] for item in items]
        every = sorted({v for of_item in known for v in of_item})
        users = made.layer("graph_items_to_user_1"), made.layer("graph_items_to_user_2")
        to_items = made.layer("graph_values_to_items_1"), made.layer("graph_values_to_items_2")
        to_values = made.layer("graph_items_to_values_1")

        user_1 = elu(loop("user_1", user_0) + attended(users[0], item_0, user_0))
        item_1 = [
            elu(
                loop("item_1", state)
                + dense("graph_user_to_items_1", user_0)
                + attended(to_items[0], [table[v] for v in of_item], state)
            )
            for state, of_item in zip(item_0, known, strict=True)
        ]
        value_1 = {
            v: elu(
                loop("value_1", table[v])
                + attended(to_values, [s for s, of_item in zip(item_0, known, strict=True) if v in of_item], table[v])
            )
            for v in every
        }
        projected = [dense("graph_items_to_user_2_projection", state) for state in item_1]
        user_2 = loop("user_2", user_1) + attended(users[1], projected, user_1)
        target_2 = (
            loop("item_2", item_1[-1])
            + dense("graph_user_to_items_2", user_1)
            + attended(to_items[1], [value_1[v] for v in known[-1]], item_1[-1])
        )
        np.testing.assert_allclose(given["user"][row], user_2, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(given["target"][row], target_2, rtol=1e-4, atol=1e-4)


@given(
    seed=st.integers(0, 2**16),
    sources=st.integers(1, 5),
    destinations=st.integers(1, 4),
    units=st.sampled_from([UNITS, None]),
)
@settings(max_examples=20, deadline=None)
def test_a_node_attends_only_to_its_in_neighbours(seed, sources, destinations, units):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(2, sources, DIM)).astype("float32")
    ends = rng.normal(size=(2, destinations, DIM)).astype("float32")
    edges = rng.random((2, destinations, sources)) > 0.5
    relation = GraphAttention(HEADS, units)
    messages, weights = (np.asarray(value) for value in relation(states, ends, edges))
    for row in range(2):
        for place in range(destinations):
            expected = attended(relation, list(states[row][edges[row, place]]), ends[row, place])
            np.testing.assert_allclose(messages[row, place], expected, rtol=1e-4, atol=1e-5)
    weights = weights.reshape(2, destinations, HEADS, sources)
    np.testing.assert_allclose(weights.sum(-1), np.repeat(edges.any(-1)[..., None], HEADS, -1), atol=1e-5)
    assert not weights[~np.repeat(edges[:, :, None], HEADS, 2)].any()


def test_what_is_said_of_padded_events_does_not_matter():
    made, query = Made(), query_of()
    other = {name: values.copy() for name, values in query.items()}
    padded = query["history"] == 0
    other["history_rating"][padded], other["history_age"][padded] = 7.0, 300.0
    for name in ("user", "target"):
        np.testing.assert_allclose(made(query)[name], made(other)[name], rtol=1e-5, atol=1e-6)


def test_events_before_the_last_ones_are_not_read():
    made, query = Made(recent=2), query_of(batch=5)
    other = {**query, "history": query["history"].copy()}
    other["history"][:, : LENGTH - 2] = 3
    np.testing.assert_array_equal(made(query)["target"], made(other)["target"])


@given(seed=st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_the_order_of_events_says_nothing_that_their_time_does_not(seed):
    made, query = MADE, query_of(seed, batch=5)
    order = np.random.default_rng(seed).permutation(LENGTH)
    other = {name: values[:, order] if values.ndim == 2 else values for name, values in query.items()}
    np.testing.assert_allclose(made(query)["user"], made(other)["user"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made(query)["target"], made(other)["target"], rtol=1e-4, atol=1e-5)


MADE = Made(seed=1)


@pytest.mark.parametrize(("switch", "name"), [("time", "history_age"), ("ratings", "history_rating")])
def test_times_and_ratings_can_be_left_out(switch, name):
    query = query_of()
    other = {**query, name: query[name] + 1}
    assert np.abs(Made()(query)["target"] - Made()(other)["target"]).max() > 1e-3
    without = Made(**{switch: False})
    assert name not in [one.name for one in without.model.inputs]


def test_without_rounds_user_and_target_do_not_meet():
    made, query = Made(rounds=0), query_of()
    np.testing.assert_array_equal(made(query)["user"], made({**query, "item": query["item"][::-1]})["user"])
    np.testing.assert_array_equal(made(query)["target"], made({**query, "history": query["history"] * 0})["target"])


def test_items_without_categories_and_events_without_time_make_a_graph_too():
    graph = InteractionGraph(Schema.of_ids(num_users=3, num_items=4), dim=DIM, recent=2, heads=HEADS, units=UNITS)
    assert graph.user.shape == graph.target.shape == (None, UNITS)
    assert set(graph.attention) == {"user_1", "user_2"}


@pytest.mark.parametrize("self_loops", [True, False])
def test_items_without_categories_are_attended_to_event_by_event(self_loops):
    schema = Schema([feature for feature in schema_of() if feature.name != "genres"])
    made, query = Made(schema=schema, self_loops=self_loops), query_of()
    given = made(query)
    there = query["history"] != 0
    weights = given["user_2"][:, 0, :-1]
    assert given["user_2"].shape == (len(there), 1, LENGTH + 1)
    assert (weights[there] > 0).all()
    assert not weights[~there].any()
    # Without loops, all that past items hear of is the user.
    ends = np.array([[row[seen].min(), row[seen].max()] for row, seen in zip(weights[1:4], there[1:4], strict=True)])
    assert np.allclose(ends[:, 0], ends[:, 1], rtol=1e-5) is not self_loops


def test_the_values_of_the_first_list_are_nodes_unless_another_feature_is_named():
    single, several = Feature("colour", "item", "categorical", 4), Feature("genres", "item", "categorical", 4, length=2)
    schema = Schema([Feature("item", "item", "id", 4), single, several])
    assert value_feature(schema) == several
    assert value_feature(schema, "colour") == single
    assert value_feature(Schema([Feature("item", "item", "id", 4)])) is None
    with pytest.raises(UserError, match=r"'genre' is no categorical feature of items. There are: colour, genres."):
        value_feature(schema, "genre")


@pytest.mark.parametrize("options", [{"rounds": 1}, {"heads": 0}, {"recent": 0}, {"dim": 0}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(UserError, match="Received"):
        InteractionGraph(schema_of(), **options)


def test_durations_of_all_sizes_are_told_apart():
    days = np.array([0, 1 / 1440, 1 / 24, 1, 30, 365, 3650], "float32")
    vectors = np.asarray(TimeEmbedding(16)(days))
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    assert distances[~np.eye(len(days), dtype=bool)].min() > 0.2
    minutes = np.log(days[3] * 1440 + 1)
    np.testing.assert_allclose(vectors[3, 0], np.sin(2 * np.pi * minutes / 4), atol=1e-4)
    assert TimeEmbedding(5)(days).shape == (7, 5)
