from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.objectives.next_item import NextItem
from zoo.schema import FIRST_KNOWN, PADDING


class Bare(NextItem):
    """The objective over a dataset without training, to look at its windows."""

    def __init__(self, dataset):
        attributes = {"query_names": ["history"], "architecture": "bare", "has_positions": True}
        model = type("Model", (), attributes)()
        super().__init__(model, dataset)


def trained_pairs(objective):
    """The (event position, event position before it) of every target of every window."""
    events = objective._events
    # Positions in place of items, so that an event is known by where it is; 0 is padding.
    events.items = tf.range(1, len(events) + 1)
    users, ends = objective._users, objective._ends
    history, _ = events.before(ends, users)
    targets, _ = events.before(ends + 1, users)
    trained = ((history != PADDING) & (targets != PADDING)).numpy()
    return list(zip(targets.numpy()[trained] - 1, history.numpy()[trained] - 1, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 14), min_size=1, max_size=5).filter(lambda lengths: max(lengths) > 1),
    st.integers(1, 6),
)
def test_every_event_except_the_first_of_a_user_is_a_target_once(sequences_of, lengths, history_length):
    objective = Bare(sequences_of(lengths, history_length))
    pairs = trained_pairs(objective)
    first = objective._events.first.numpy()
    expected = [event for start, end in pairwise(first) for event in range(start + 1, end)]
    assert Counter(target for target, _ in pairs) == Counter(expected)
    assert all(target == before + 1 for target, before in pairs), "each is predicted from the one before"
    assert objective.num_examples == sum(-(-max(length - 1, 0) // history_length) for length in lengths)


def test_users_with_one_event_have_nothing_to_predict(sequences_of):
    with pytest.raises(UserError, match="at least two training interactions"):
        Bare(sequences_of([1, 1, 0], 4))


@pytest.mark.parametrize("name", ["mf", "bert4rec"])
def test_a_model_without_positions_is_refused(name, sequences_of):
    data = sequences_of([3, 2], 4)
    with pytest.raises(UserError, match=f"'next_item' needs an architecture with positions; '{name}' has none"):
        make_objective("next_item", zoo.build(name, data.schema), data, {})


def test_the_loss_is_the_cross_entropy_of_every_target_among_all_items(sequences_of, shaken, loss_of):
    data = sequences_of([6, 1, 3, 2], 4, num_items=7)
    model = shaken("lstm", data, dropout=0.0, **zoo.info("lstm").tiny)
    objective = make_objective("next_item", model, data, {})

    losses = []
    for user in range(FIRST_KNOWN, data.num_users):
        items = data.sequences("train").of(user)
        for end in range(1, len(items)):
            # The sequence of six is cut into a window of four targets and one of one; the network starts
            # anew in each, with the event before the window's first target.
            start = max(0, len(items) - 1 - 4)
            seen = items[start:end] if end > start else items[:end]
            history = np.zeros((1, 4), np.int32)
            history[0, 4 - len(seen) :] = seen
            query = {"history": history, "history_rating": np.zeros((1, 4), np.float32)}
            logits = np.array(model.score_catalogue(query, model.encode_catalogue()))[0, FIRST_KNOWN:]
            losses.append(np.log(np.exp(logits).sum()) - logits[items[end] - FIRST_KNOWN])
    assert len(losses) == 5 + 2 + 1
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-5)
