from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.examples import Examples


def positions_of(examples):
    """Every position of every user: before each event, and after the last."""
    first = examples.first.numpy()
    users = np.repeat(np.arange(len(first) - 1), np.diff(first) + 1)
    ends = np.concatenate([np.arange(first[user], first[user + 1] + 1) for user in range(len(first) - 1)])
    return ends.astype(np.int32), users.astype(np.int32)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), st.integers(1, 6), st.integers(0, 2**32))
def test_a_history_holds_exactly_the_events_before(sequences_of, lengths, history_length, seed):
    data = sequences_of(lengths, history_length, seed=seed, labels=[1, 2, 4])
    examples = Examples(data, ["history", "history_rating"])
    ends, users = positions_of(examples)
    items, ratings = (part.numpy() for part in examples.before(tf.constant(ends), tf.constant(users)))
    largest = data.interactions["label"].max()
    for end, user, got_items, got_ratings in zip(ends, users, items, ratings, strict=True):
        rows = data.interactions[data.interactions["user"] == user]
        done = int(end) - int(examples.first[user])
        before = rows.iloc[max(0, done - history_length) : done]
        missing = [0] * (history_length - len(before))
        assert got_items.tolist() == [*missing, *before["item"]]
        np.testing.assert_allclose(got_ratings, [*missing, *(before["label"] / largest)], rtol=1e-6)


def test_only_training_events_are_examples(datasets):
    data = datasets["ids"]
    examples = Examples(data, ["user"])
    train = data.part("train")
    assert len(examples) == len(train)
    pairs = zip(examples.users.numpy(), examples.items.numpy(), strict=True)
    assert sorted(pairs) == sorted(zip(train["user"], train["item"], strict=True))


def test_a_query_has_the_features_of_its_user_and_the_context_of_its_event(datasets):
    data = datasets["features"]
    names = ["user", "history", *(feature.name for feature in data.schema.side_features("user", "context"))]
    assert "device" in names
    examples = Examples(data, names)
    events = np.array([0, 40, len(examples) - 1], np.int32)
    users = examples.users.numpy()[events]
    query = examples.query(tf.constant(events), tf.constant(users))
    assert list(query) == names
    rows = data.part("train").sort_values("user", kind="stable").iloc[events]
    np.testing.assert_array_equal(query["device"], rows["device"])
    for feature in data.schema.side_features("user"):
        np.testing.assert_array_equal(query[feature.name], data.users[feature.name][users])


def test_the_query_after_the_last_event_is_the_one_served(datasets):
    data = datasets["features"]
    names = ["user", "history", "history_rating", *(f.name for f in data.schema.side_features("user"))]
    examples = Examples(data, names)
    users = np.arange(2, data.num_users, dtype=np.int32)
    query = examples.query(tf.gather(examples.first, users + 1), tf.constant(users))
    served = data.queries(names, users, "train")
    for name in names:
        np.testing.assert_allclose(query[name], served[name], rtol=1e-6)


def test_the_context_after_the_last_event_of_a_user_is_unknown(datasets):
    data = datasets["features"]
    examples = Examples(data, ["device"])
    users = np.arange(2, data.num_users, dtype=np.int32)
    query = examples.query(tf.gather(examples.first, users + 1), tf.constant(users))
    np.testing.assert_array_equal(query["device"], data.queries(["device"], users, "train")["device"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), st.integers(1, 6), st.integers(0, 2**32))
def test_a_history_to_complete_holds_the_last_events_except_the_one_in_question(
    sequences_of, lengths, history_length, seed
):
    data = sequences_of(lengths, history_length, seed=seed, labels=[1, 2, 4])
    examples = Examples(data, ["history"])
    events, users = tf.range(len(examples)), examples.users
    items = examples.query(events, users, completes=True)["history"].numpy()
    for event, user, got in zip(events.numpy(), users.numpy(), items, strict=True):
        rows = data.interactions.loc[data.interactions["user"] == user, "item"].tolist()
        rows.pop(int(event) - int(examples.first[user]))
        kept = rows[-history_length:]
        assert got.tolist() == [0] * (history_length - len(kept)) + kept


def test_a_query_completes_or_continues_a_history_as_asked(sequences_of):
    data = sequences_of([4], 3)
    examples = Examples(data, ["history"])
    second, user = tf.constant([1]), examples.users[:1]
    items = examples.items.numpy()
    assert examples.query(second, user)["history"].numpy().tolist() == [[0, 0, items[0]]]
    assert examples.query(second, user, completes=True)["history"].numpy().tolist() == [[items[0], items[2], items[3]]]
