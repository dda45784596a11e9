from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError
from zoo.objectives import make_objective
from zoo.training.fitting import rating_matrix


def test_the_loss_is_the_cross_entropy_of_the_level_of_a_rating(sequences_of, shaken, batch_of, loss_of):
    data = sequences_of([4, 3, 5, 6], 5, labels=[1, 3, 5])
    model = shaken("gcmc", data, units=2, embedding_dim=3, dropout=0.0, most_levels=4)
    model.adapt(ratings=lambda: rating_matrix(data))
    objective = make_objective("rating_levels", model, data, {})
    assert model.scores_are_ratings
    events = objective._at(batch_of(np.arange(objective.num_examples)).examples)
    logits, values = (levels.numpy() for levels in model.encode_levels(events.query, events.items, training=True))
    assert values[0, :3].tolist() == [1, 3, 5]
    powers = np.exp(logits[:, :3])
    own = powers[np.arange(len(powers)), [[1, 3, 5].index(label) for label in events.labels.numpy()]]
    assert loss_of(objective) == pytest.approx(np.mean(-np.log(own / powers.sum(axis=1))), rel=1e-5)


def test_a_model_without_levels_is_refused(sequences_of):
    data = sequences_of([4, 3], 5)
    with pytest.raises(UserError, match="a logit for each level of a rating; 'ncf' has none"):
        make_objective("rating_levels", zoo.build("ncf", data.schema), data, {})
