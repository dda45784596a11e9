from __future__ import annotations

import numpy as np
import pytest

from zoo.objectives import make_objective


def test_a_pair_costs_less_the_further_its_positive_is_above(sequences_of, shaken, batch_of, loss_of):
    data = sequences_of([4, 3, 5], 5)
    model = shaken("mf", data, embedding_dim=3)
    objective = make_objective("bpr", model, data, {"negatives": 2})
    batch = batch_of(np.arange(objective.num_examples))
    events = objective._at(batch.examples)
    negatives, weights = objective._sampler(events, batch)
    assert (weights.numpy() == 1).all()
    query = {"user": events.users.numpy()}
    apart = model.score(query, events.items.numpy())[:, None] - model.score(query, negatives.numpy())
    assert apart.shape == (12, 2)
    assert loss_of(objective) == pytest.approx(np.mean(np.log(1 + np.exp(-apart))), rel=1e-5)


def test_untrained_scores_cost_the_logarithm_of_two(sequences_of, shaken, loss_of):
    data = sequences_of([4, 3], 5)
    model = shaken("mf", data, embedding_dim=3)
    for weight in model.trainable_weights:
        weight.assign(weight * 0)
    assert loss_of(make_objective("bpr", model, data, {})) == pytest.approx(np.log(2), rel=1e-6)


def test_a_user_who_has_seen_everything_makes_no_pairs(sequences_of, shaken, batch_of):
    data = sequences_of([3], 5, num_items=1)
    objective = make_objective("bpr", shaken("mf", data, embedding_dim=3), data, {})
    total, weight = objective.loss(batch_of([0]))
    assert (float(total), float(weight)) == (0.0, 0.0)


@pytest.mark.parametrize("sampler", ["popularity", "in-batch", "hard"])
def test_every_sampler_trains_every_family(datasets, shaken, loss_of, sampler):
    data = datasets["ids"]
    for name in ("mf", "ncf", "autoencoder"):
        objective = make_objective("bpr", shaken(name, data), data, {"sampler": sampler})
        assert 0 < loss_of(objective, np.arange(20)) < 20
