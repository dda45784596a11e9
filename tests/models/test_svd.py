from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

import zoo
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, Feature, Schema, history_features


@functools.cache
def built(num_users, num_items, largest_rating=1.0, **hparams):
    return zoo.build(
        "svd",
        Schema(
            [
                Feature("user", "user", "id", FIRST_KNOWN + num_users),
                Feature("item", "item", "id", FIRST_KNOWN + num_items),
                *history_features(FIRST_KNOWN + num_items, num_items, largest_rating),
                Feature("label", "label", "numeric"),
            ]
        ),
        **hparams,
    )


# Histories


def scores(labels, histories, **hparams):
    """The scores of all items for histories, rows of labels too, by a decomposition of `[users, items]` labels."""
    model = built(*np.shape(labels), **hparams)
    model.solver(csr_matrix(np.pad(labels, [(FIRST_KNOWN, 0), (FIRST_KNOWN, 0)])))
    items = np.arange(FIRST_KNOWN, model.num_items)
    scale = model.schema["history_rating"].std
    query = {"history": np.where(histories, items, 0), "history_rating": histories / scale}
    return model.score(query, np.tile(items, (len(histories), 1)))


def some_labels(num_users=20, num_items=8, seed=0):
    """Ratings of 1 to 5 of some of the items."""
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 6, (num_users, num_items)) * (rng.random((num_users, num_items)) < 0.6)).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 3, 7])
def test_histories_are_projected_onto_the_first_singular_vectors(dim):
    labels, newcomers = some_labels(), some_labels(seed=1)
    right = np.linalg.svd(labels)[2][:dim].T
    np.testing.assert_allclose(scores(labels, newcomers, embedding_dim=dim), newcomers @ right @ right.T, atol=1e-4)


def test_ratings_are_read_on_the_scale_of_the_data():
    labels = some_labels()
    found = scores(labels, labels, largest_rating=5.0, embedding_dim=3)
    np.testing.assert_allclose(found, scores(labels, labels, embedding_dim=3), rtol=1e-4, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_scores_of_the_users_are_the_nearest_matrix_of_that_rank(seed):
    labels = some_labels(seed=seed)
    error = np.square(labels - scores(labels, labels, embedding_dim=3)).sum()
    # Eckart and Young, 1936.
    assert error == pytest.approx(np.square(np.linalg.svd(labels)[1][3:]).sum(), rel=1e-4)


@pytest.mark.parametrize("shape", [(20, 8), (6, 9)])
def test_as_many_values_as_there_are_give_back_every_history(shape):
    labels = some_labels(*shape)
    np.testing.assert_allclose(scores(labels, labels, embedding_dim=min(shape)), labels, atol=1e-4)


def test_more_values_than_there_are_add_nothing():
    rng = np.random.default_rng(0)
    labels = (rng.integers(1, 4, (20, 2)) @ rng.integers(0, 3, (2, 8))).astype(np.float32)
    assert np.linalg.matrix_rank(labels) == 2
    newcomers = some_labels(seed=1)
    exact, wide = (scores(labels, newcomers, embedding_dim=dim) for dim in (2, 6))
    np.testing.assert_allclose(wide, exact, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_other_numbers_for_the_items_and_users_give_the_same_scores(seed):
    rng = np.random.default_rng(seed)
    labels = some_labels(seed=seed)
    # Where two values are next to equal, which vectors come first is chance.
    values = np.linalg.svd(labels)[1]
    dim = 3 if values[2] > 1.01 * values[3] else 8
    items, users = rng.permutation(8), rng.permutation(20)
    turned = scores(labels[users][:, items], labels[:, items], embedding_dim=dim)
    np.testing.assert_allclose(turned, scores(labels, labels, embedding_dim=dim)[:, items], atol=1e-3)


def test_the_same_data_gives_the_same_scores_to_the_last_bit():
    labels = some_labels()
    first, second = (scores(labels, labels, embedding_dim=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("shape", "dim"), [((20, 8), 9), ((5, 8), 6), ((20, 8), 1000)])
def test_there_are_no_more_dimensions_than_users_or_items_and_the_recipe_says_how_many(shape, dim):
    labels = some_labels(*shape)
    np.testing.assert_allclose(scores(labels, labels, embedding_dim=dim), labels, atol=1e-4)
    assert built(*shape, embedding_dim=dim).recipe["hparams"]["embedding_dim"] == min(shape)


def test_labels_that_are_all_0_are_refused():
    with pytest.raises(UserError, match="svd: every label of the training part is 0, so there is nothing to decompose"):
        scores(np.zeros((20, 8)), np.zeros((1, 8)), embedding_dim=3)


# Ratings minus their biases


def fitted(ratings, dim, **hparams):
    """A model of `[users, items]` ratings, NaN where there is none, and the item vectors that it began with."""
    places = np.argwhere(~np.isnan(ratings))
    stored = ratings[tuple(places.T)].astype(np.float32), tuple(places.T + FIRST_KNOWN)
    keras.utils.set_random_seed(0)
    model = zoo.build("svd", Schema.of_ids(*ratings.shape), embedding_dim=dim, biases=True, **hparams)
    start = item_table(model)
    assert model.solver is not None
    model.solver(csr_matrix(stored, shape=np.array(ratings.shape) + FIRST_KNOWN))
    return model, start


def user_table(model):
    """The vectors of the known users, each with its bias behind it."""
    users = np.arange(FIRST_KNOWN, model.schema.size("user"))
    return model.encode_query({"user": users}).numpy()[:, :-1]


def item_table(model):
    """The vectors of the known items, each with its bias behind it."""
    return np.delete(model.encode_catalogue()[0].numpy()[FIRST_KNOWN:], -2, axis=1)


def some_ratings(num_users=15, num_items=10):
    """Ratings of 0 to 5 of some of the items; a rating of 0 is one."""
    rng = np.random.default_rng(0)
    ratings = rng.integers(0, 6, (num_users, num_items)).astype(float)
    ratings[rng.random(ratings.shape) < 0.4] = np.nan
    return ratings


def half_step(deviations, columns, regularization, frequency_scaling):
    """The rows' vectors and biases that are best given those of the columns, by ridge regressions."""
    rows = []
    for row in deviations:
        rated = ~np.isnan(row)
        factors = np.append(columns[rated, :-1], np.ones((rated.sum(), 1)), axis=1)
        ridge = regularization * max(rated.sum(), 1) ** frequency_scaling * np.eye(factors.shape[1])
        rows.append(np.linalg.solve(factors.T @ factors + ridge, factors.T @ (row[rated] - columns[rated, -1])))
    return np.array(rows)


def objective(deviations, users, items, regularization, frequency_scaling):
    """What the alternating regressions minimise: squared errors of the ratings and the penalties."""
    predicted = users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]
    total = np.nansum((deviations - predicted) ** 2)
    for rows, table in ((deviations, users), (deviations.T, items)):
        ridge = regularization * np.maximum((~np.isnan(rows)).sum(axis=1), 1) ** frequency_scaling
        total += (ridge @ table**2).sum()
    return total


WEIGHTS = [{"regularization": 1.2, "frequency_scaling": 0.5}, {"regularization": 0.1, "frequency_scaling": 1.0}]


@pytest.mark.parametrize("hparams", WEIGHTS)
@pytest.mark.parametrize("epochs", [1, 3])
def test_an_epoch_solves_the_regressions_of_the_users_and_then_of_the_items(epochs, hparams):
    # With one dimension and a bias the steps of a sweep are as many as an exact solution takes.
    ratings = some_ratings()
    model, items = fitted(ratings, dim=1, epochs=epochs, **hparams)
    mean = np.nanmean(ratings)
    for _ in range(epochs):
        users = half_step(ratings - mean, items, **hparams)
        items = half_step((ratings - mean).T, users, **hparams)
    expected = mean + users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]
    query, pairs = {"user": np.arange(2, 17)}, np.tile(np.arange(2, 12), (15, 1))
    np.testing.assert_allclose(model.score(query, pairs), expected, rtol=1e-4)


@pytest.mark.parametrize("hparams", WEIGHTS)
def test_after_many_epochs_users_and_items_solve_each_others_regressions(hparams):
    ratings = some_ratings()
    model, _ = fitted(ratings, dim=2, epochs=300, **hparams)
    users, items, deviations = user_table(model), item_table(model), ratings - np.nanmean(ratings)
    np.testing.assert_allclose(users, half_step(deviations, items, **hparams), atol=1e-3)
    np.testing.assert_allclose(items, half_step(deviations.T, users, **hparams), atol=1e-3)


@pytest.mark.parametrize("hparams", WEIGHTS)
def test_the_objective_falls_from_epoch_to_epoch(hparams):
    ratings = some_ratings()
    falling = []
    for epochs in (1, 2, 4, 8):
        model, _ = fitted(ratings, dim=3, epochs=epochs, **hparams)
        falling.append(objective(ratings - np.nanmean(ratings), user_table(model), item_table(model), **hparams))
    assert (np.diff(falling) < 0).all()


def test_scores_are_ratings_and_whoever_is_unknown_gets_the_mean_and_the_bias_of_the_item():
    ratings = some_ratings()
    model, _ = fitted(ratings, dim=2)
    assert model.scores_are_ratings
    found = model.score({"user": [1]}, np.arange(2, 12)[None])[0]
    np.testing.assert_allclose(found, np.nanmean(ratings) + item_table(model)[:, -1], rtol=1e-5)


def test_where_every_rating_is_the_same_so_is_every_score():
    model, _ = fitted(np.where(np.isnan(some_ratings()), np.nan, 4.0), dim=2, epochs=30)
    np.testing.assert_allclose(model.score({"user": np.arange(2, 9)}, np.arange(2, 9)), 4.0, rtol=1e-6)


# Both


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(
    ("hparam", "value"),
    [
        *((name, value) for name in ("embedding_dim", "epochs") for value in (0, -1)),
        *(("regularization", value) for value in (0.0, -0.1)),
    ],
)
def test_hparams_that_mean_nothing_are_refused(biases, hparam, value):
    with pytest.raises(UserError, match=rf"svd: embedding_dim and epochs must .* Received: .*{hparam}={value}"):
        zoo.build("svd", num_users=3, num_items=4, biases=biases, **{hparam: value})
