from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UserError
from zoo.objectives import OBJECTIVES, make_objective
from zoo.objectives.base import is_binary
from zoo.schema import FIRST_KNOWN


def cross_entropy(logits, labels):
    """The definition, with the sigmoid written out."""
    chance = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    return -(labels * np.log(chance) + (1 - labels) * np.log(1 - chance))


@pytest.fixture
def rated(sequences_of):
    """Ratings of 1 to 5."""
    return sequences_of([4, 3, 5, 1], 5, labels=[1, 2, 4, 5])


@pytest.fixture
def labelled(sequences_of):
    """Labels of 0 and 1."""
    return sequences_of([4, 3, 5, 1], 5, labels=[0, 1])


def by_user(data):
    """The training rows as the objectives number them."""
    return data.interactions.sort_values("user", kind="stable")


# Pointwise


def test_implicit_positives_stand_against_sampled_negatives(labelled, batch_of, shaken, loss_of):
    model = shaken("mf", labelled, embedding_dim=3)
    objective = make_objective("pointwise", model, labelled, {"feedback": "implicit", "negatives": 3})
    rows = by_user(labelled)
    positives = rows[rows["label"] > 0]
    assert objective.num_examples == len(positives) < len(rows)

    users = positives["user"].to_numpy()
    batch = batch_of(np.arange(len(users)))
    drawn, weights = objective._sampler(objective._at(batch.examples), batch)
    assert (weights.numpy() == 1).all()
    query = {"user": users}
    above = cross_entropy(model.score(query, positives["item"].to_numpy()), 1)
    below = cross_entropy(model.score(query, drawn.numpy()), 0)
    assert loss_of(objective) == pytest.approx((above.sum() + below.sum()) / (4 * len(users)), rel=1e-5)


def test_no_known_interaction_is_a_negative_whatever_its_label(labelled, batch_of):
    model = zoo.build("mf", labelled.schema, embedding_dim=3)
    objective = make_objective("pointwise", model, labelled, {"feedback": "implicit", "negatives": 50})
    batch = batch_of(np.arange(objective.num_examples))
    events = objective._at(batch.examples)
    drawn, _ = objective._sampler(events, batch)
    for user, items in zip(events.users.numpy(), drawn.numpy(), strict=True):
        assert not set(items) & set(labelled.sequences("train").of(user))


def test_a_user_who_has_seen_everything_is_trained_on_its_positives_only(sequences_of, shaken, loss_of):
    data = sequences_of([3], 5, num_items=1)
    model = shaken("mf", data, embedding_dim=3)
    expected = cross_entropy(model.score({"user": [2]}, [2]), 1)
    assert loss_of(make_objective("pointwise", model, data, {})) == pytest.approx(expected[0], rel=1e-5)


def test_explicit_ratings_get_squared_error_in_their_own_unit(rated, shaken, loss_of):
    model = shaken("mf", rated, embedding_dim=3)
    rows = by_user(rated)
    query, items, labels = {"user": rows["user"]}, rows["item"].to_numpy(), rows["label"].to_numpy()
    logits = model.score(query, items)
    objective = make_objective("pointwise", model, rated, {"feedback": "explicit"})
    assert model.scores_are_ratings
    expected = np.mean((labels.mean() + labels.std() * logits - labels) ** 2)
    assert loss_of(objective) == pytest.approx(expected, rel=1e-4)


def test_explicit_labels_of_0_and_1_get_cross_entropy(labelled, shaken, loss_of):
    model = shaken("mf", labelled, embedding_dim=3)
    objective = make_objective("pointwise", model, labelled, {"feedback": "explicit"})
    rows = by_user(labelled).iloc[2:9]
    expected = cross_entropy(model.score({"user": rows["user"]}, rows["item"].to_numpy()), rows["label"]).mean()
    assert not model.scores_are_ratings
    assert objective.num_examples == len(labelled.interactions)
    assert loss_of(objective, np.arange(2, 9)) == pytest.approx(expected, rel=1e-5)


def test_implicit_feedback_leaves_scores_as_logits(rated):
    model = zoo.build("mf", rated.schema, embedding_dim=3)
    make_objective("pointwise", model, rated, {})
    assert not model.scores_are_ratings


def test_ratings_that_are_all_the_same_still_have_a_scale(sequences_of):
    data = sequences_of([3, 2], 5, labels=[4])
    model = zoo.build("mf", data.schema, embedding_dim=3)
    make_objective("pointwise", model, data, {"feedback": "explicit"})
    assert model.rating_scale == (4.0, 1.0)


def test_standardized_ratings_are_ratings_too(sequences_of):
    data = sequences_of([40, 40], 5)
    data.interactions["label"] = np.tile(np.float32([-1, 1]), 40)
    model = zoo.build("mf", data.schema, embedding_dim=3)
    make_objective("pointwise", model, data, {"feedback": "explicit"})
    assert model.scores_are_ratings


# Reconstruction


def histories(data):
    """Queries, items and labels of all users with events, written out one by one."""
    sequences, length = data.sequences("train"), data.schema["history"].length
    largest = data.schema["history_rating"].std
    for user in np.unique(data.interactions["user"]):
        events = slice(max(sequences.offsets[user], sequences.offsets[user + 1] - length), sequences.offsets[user + 1])
        items, labels = sequences.items[events], sequences.labels[events]
        padding = length - len(items)
        history = np.concatenate([np.zeros(padding, np.int32), items])[None]
        ratings = np.concatenate([np.zeros(padding, np.float32), labels / largest])[None]
        yield {"history": history, "history_rating": ratings}, items, labels


@pytest.fixture
def autoencoder(shaken):
    return lambda data: shaken("autoencoder", data, hidden=4, dropout=0.0)


def test_implicit_reconstruction_is_a_multinomial_likelihood_of_what_was_seen(labelled, autoencoder, loss_of):
    model = autoencoder(labelled)
    losses = []
    for query, items, labels in histories(labelled):
        logits = np.asarray(model.encode_query(query), np.float64)[0, FIRST_KNOWN:]
        likelihood = logits - np.log(np.exp(logits).sum())
        losses += [-likelihood[item - FIRST_KNOWN] for item, label in zip(items, labels, strict=True) if label > 0]
    objective = make_objective("reconstruction", model, labelled, {})
    assert objective.num_examples == 4
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-5)


def test_explicit_reconstruction_is_the_squared_error_of_what_was_rated(rated, autoencoder, loss_of):
    model = autoencoder(rated)
    ratings = rated.interactions["label"].to_numpy()
    errors = []
    for query, items, labels in histories(rated):
        logits = np.asarray(model.encode_query(query))[0, items]
        errors += ((ratings.mean() + ratings.std() * logits - labels) ** 2).tolist()
    objective = make_objective("reconstruction", model, rated, {"feedback": "explicit"})
    assert len(errors) == len(ratings)
    assert loss_of(objective) == pytest.approx(np.mean(errors), rel=1e-4)


def test_reconstruction_of_labels_of_0_and_1_is_their_cross_entropy(labelled, autoencoder, loss_of):
    model = autoencoder(labelled)
    losses = []
    for query, items, labels in histories(labelled):
        losses += cross_entropy(np.asarray(model.encode_query(query))[0, items], labels).tolist()
    objective = make_objective("reconstruction", model, labelled, {"feedback": "explicit"})
    assert loss_of(objective) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_long_history_is_reconstructed_from_its_last_events(sequences_of, autoencoder, loss_of):
    data = sequences_of([9, 2], 3, num_items=20)
    model = autoencoder(data)
    losses = []
    for query, items, _ in histories(data):
        logits = np.asarray(model.encode_query(query), np.float64)[0, FIRST_KNOWN:]
        losses += (np.log(np.exp(logits).sum()) - logits[items - FIRST_KNOWN]).tolist()
    assert len(losses) == 3 + 2
    assert loss_of(make_objective("reconstruction", model, data, {})) == pytest.approx(np.mean(losses), rel=1e-5)


# Labels


@pytest.mark.parametrize(
    ("labels", "binary"),
    [([0, 1], True), ([1], False), ([0, 2], False), ([0, 1, 2], False), ([0.5, 1], False)],
)
def test_labels_are_binary_if_they_are_zeros_and_ones(sequences_of, labels, binary):
    assert is_binary(sequences_of([30, 30], 5, labels=labels)) == binary


# Mistakes


def test_an_unknown_objective_gives_the_near_names(rated):
    with pytest.raises(UserError, match=r"Unknown objective 'pointwize'\. Did you mean 'pointwise'\?"):
        make_objective("pointwize", zoo.build("mf", rated.schema), rated, {})


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_unknown_option_is_named_with_the_valid_ones(rated, name):
    with pytest.raises(UserError, match=f"Unknown option of objective '{name}' 'zzz'. Valid: "):
        make_objective(name, zoo.build("mf", rated.schema), rated, {"zzz": 1})


def test_a_typo_in_an_option_gives_the_near_ones(rated):
    with pytest.raises(UserError, match=r"'negativs'\. Did you mean 'negatives'\?"):
        make_objective("pointwise", zoo.build("mf", rated.schema), rated, {"negativs": 1})


@pytest.mark.parametrize("name", ["pointwise", "reconstruction"])
def test_a_typo_in_the_feedback_is_refused(rated, name):
    model = zoo.build("mf" if name == "pointwise" else "autoencoder", rated.schema)
    with pytest.raises(
        UserError, match=r"must be 'implicit' or 'explicit', or 'auto' for pointwise\. Received: 'explicite'"
    ):
        make_objective(name, model, rated, {"feedback": "explicite"})


@pytest.mark.parametrize(
    ("objective", "architecture", "message"),
    [
        ("reconstruction", "mf", "trains the family item logits; 'mf' is of the family towers"),
        ("next_item", "ncf", "trains the family towers; 'ncf' is of the family pairs"),
    ],
)
def test_an_objective_for_another_family_is_refused(rated, objective, architecture, message):
    with pytest.raises(UserError, match=message):
        make_objective(objective, zoo.build(architecture, rated.schema), rated, {})


@pytest.mark.parametrize("number", [0, -1])
def test_a_positive_needs_negatives(rated, number):
    with pytest.raises(UserError, match=f"negatives must be at least 1. Received: {number}"):
        make_objective("pointwise", zoo.build("mf", rated.schema), rated, {"negatives": number})


def test_data_without_a_positive_are_refused(sequences_of):
    data = sequences_of([3, 2], 5, labels=[0])
    with pytest.raises(UserError, match="there is no positive"):
        make_objective("pointwise", zoo.build("mf", data.schema), data, {})


@pytest.mark.parametrize("number", ["four", 2.5])
def test_a_number_of_negatives_that_is_no_integer_is_refused(rated, number, loss_of):
    model = zoo.build("mf", rated.schema)
    with pytest.raises(UserError):
        loss_of(make_objective("pointwise", model, rated, {"negatives": number}))
