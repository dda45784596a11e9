from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.schema import FIRST_KNOWN, PADDING


@pytest.fixture
def data(sequences_of):
    return sequences_of([6, 1, 3, 2], 4, num_items=7)


@pytest.fixture
def model(data, shaken):
    return shaken("bert4rec", data, **{**zoo.info("bert4rec").tiny, "dropout": 0.0})


def histories_of(objective):
    """The history of every window, with no item hidden."""
    return objective._events.query(objective._ends + 1, objective._users)["history"].numpy()


def softmax_loss(logits, item):
    return np.log(np.exp(logits).sum()) - logits[item - FIRST_KNOWN]


def test_every_event_is_in_one_window(data, model):
    objective = make_objective("masked_items", model, data, {})
    histories = histories_of(objective)
    first = objective._events.first.numpy()
    items = objective._events.items.numpy()
    expected = [item for start, end in pairwise(first) if end - start > 1 for item in items[start:end]]
    assert Counter(histories[histories != PADDING].tolist()) == Counter(expected)
    assert objective.num_examples == 4


def test_the_loss_is_the_cross_entropy_of_every_hidden_item_among_all(data, model, loss_of, batch_of):
    objective = make_objective("masked_items", model, data, {"share": 0.5})
    histories = histories_of(objective)
    is_hidden = objective._hidden(histories, batch_of(np.arange(4))).numpy()
    assert is_hidden.any(axis=1).all()
    assert not (is_hidden & (histories == PADDING)).any()
    query = {"history": np.where(is_hidden, data.num_items, histories)}
    items = model.encode_items(np.arange(FIRST_KNOWN, data.num_items)).numpy().astype(np.float64)
    logits = model.encode_masked_positions(query).numpy() @ items.T
    losses = [softmax_loss(logits[place], histories[place]) for place in zip(*np.nonzero(is_hidden), strict=True)]
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_last_item_that_is_hidden_is_what_a_query_asks_for(data, model, loss_of):
    objective = make_objective("masked_items", model, data, {"only_last": 1.0})
    histories = histories_of(objective)
    before = np.pad(histories[:, :-1], [(0, 0), (1, 0)])
    logits = np.asarray(model.score_catalogue({"history": before}, model.encode_catalogue()), np.float64)
    losses = [softmax_loss(row[FIRST_KNOWN:], history[-1]) for row, history in zip(logits, histories, strict=True)]
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_share_of_items_is_hidden_anew_in_every_step(sequences_of, shaken, batch_of):
    data = sequences_of([40, 40], 40)
    objective = make_objective("masked_items", shaken("bert4rec", data), data, {"share": 0.3, "only_last": 0.0})
    steps = [objective._hidden(histories_of(objective), batch_of([0, 1], (3, step))).numpy() for step in range(30)]
    assert np.mean(steps) == pytest.approx(0.3, abs=0.03)
    assert not (steps[0] == steps[1]).all()
    assert not (steps[0][0] == steps[0][1]).all()


def test_if_chance_hides_nothing_the_last_item_is_hidden(data, model, batch_of):
    objective = make_objective("masked_items", model, data, {"share": 0.0, "only_last": 0.0})
    is_hidden = objective._hidden(histories_of(objective), batch_of(np.arange(4))).numpy()
    assert is_hidden.tolist() == [[False, False, False, True]] * 4


def test_if_everything_is_hidden_there_is_still_a_loss(data, model, loss_of):
    assert np.isfinite(loss_of(make_objective("masked_items", model, data, {"share": 1.0})))


def test_users_with_one_event_have_nothing_to_tell_it_from(sequences_of):
    data = sequences_of([1, 1, 0], 4)
    with pytest.raises(UserError, match="at least two training interactions"):
        make_objective("masked_items", zoo.build("bert4rec", data.schema), data, {})
