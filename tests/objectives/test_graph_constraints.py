from __future__ import annotations

import numpy as np
import pytest

from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.training.fitting import interaction_matrix


def test_pairs_weigh_what_the_rounds_settle_on_and_close_items_are_drawn_near(sequences_of, shaken, batch_of, loss_of):
    data = sequences_of([4, 3, 5], 5)
    model = shaken("ultragcn", data, embedding_dim=3)
    options = {"negatives": 2, "base": 0.5, "user_item": 3.0, "item_item": 0.7, "neighbors": 2}
    objective = make_objective("graph_constraints", model, data, options)
    batch = batch_of(np.arange(objective.num_examples))
    events = objective._at(batch.examples)
    negatives, _ = objective._sampler(events, batch)
    users, positives = events.users.numpy(), events.items.numpy()
    vectors = model.encode_query(events.query, training=True).numpy()
    liked = (interaction_matrix(data).toarray() > 0).astype(float)
    of_user, of_item = liked.sum(axis=1), liked.sum(axis=0)
    together = liked.T @ liked
    sums = together.sum(axis=1)

    def score(row, item):
        return vectors[row] @ model.encode_items(np.array([item]), training=True).numpy()[0]

    def weight(user, item):
        return 0.5 + 3 * np.sqrt((of_user[user] + 1) / (of_item[item] + 1)) / of_user[user]

    total = 0.0
    for row, (user, positive) in enumerate(zip(users, positives, strict=True)):
        total += weight(user, positive) * np.log1p(np.exp(-score(row, positive)))
        total += sum(weight(user, item) * np.log1p(np.exp(score(row, item))) for item in negatives.numpy()[row])
        omega = {
            item: together[positive, item]
            / (sums[positive] - together[positive, positive])
            * np.sqrt(sums[positive] / sums[item])
            for item in range(len(sums))
            if item != positive and together[positive, item]
        }
        close = sorted(omega, key=omega.get, reverse=True)[:2]
        total += 0.7 * sum(omega[item] * np.log1p(np.exp(-score(row, item))) for item in close)
    assert loss_of(objective) == pytest.approx(total / len(users), rel=1e-4)


def test_options_out_of_range_are_refused(sequences_of, shaken):
    data = sequences_of([4, 3], 5)
    model = shaken("ultragcn", data)
    with pytest.raises(UserError, match=r"item_item must be at least 0\. Received: -1"):
        make_objective("graph_constraints", model, data, {"item_item": -1.0})
    with pytest.raises(UserError, match=r"neighbors must be at least 1\. Received: 0"):
        make_objective("graph_constraints", model, data, {"neighbors": 0})
