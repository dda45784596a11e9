from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import zoo
from zoo.config import TrainConfig
from zoo.errors import UserError
from zoo.objectives.base import Objective
from zoo.training.loop import Trainer
from zoo.training.optimizers import OPTIMIZERS, _dense_optimizers, learning_rate, make_optimizer, sum_duplicates

ROWS, DIM = 8, 3
# Of eight rows the first four are in every batch, the next two in some, the last two in none.
SEEN, SOMETIMES, NEVER = slice(0, 4), slice(4, 6), slice(6, 8)
STOCK = {
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.Adam,
}
ROW_WISE = pytest.mark.parametrize("name", STOCK)


def batches(number=6, seed=0):
    """Rows and gradients of some steps; rows come more than once in a batch."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        rows = np.concatenate([np.arange(4), rng.integers(0, 4, 5), rng.integers(4, 6, 1)])
        rng.shuffle(rows)
        yield rows.astype(np.int32), rng.normal(size=(len(rows), DIM)).astype(np.float32)


def sparse(rows, gradient, size=ROWS):
    return tf.IndexedSlices(tf.constant(gradient), tf.constant(rows), tf.constant([size, gradient.shape[1]]))


def table():
    return keras.Variable(np.random.default_rng(1).normal(size=(ROWS, DIM)).astype(np.float32))


def trained(optimizer, steps=None, gradient_of=lambda gradient, weights: gradient):
    """A table after some steps of an optimizer that is given dense gradients, or sparse ones if it takes them."""
    weights = table()
    optimizer.build([weights])
    for rows, values in steps or batches():
        given = sum_duplicates(sparse(rows, values))
        optimizer.apply([gradient_of(given, weights)], [weights])
    return weights.numpy()


def stock(kind, l2=0.0, **arguments):
    """A table after the same steps of Keras' own optimizer."""
    return trained(kind(**arguments), gradient_of=lambda given, weights: tf.convert_to_tensor(given) + l2 * weights)


def of_config(name, total_steps=100, **arguments):
    return make_optimizer(TrainConfig(optimizer=name, learning_rate=0.1, **arguments), total_steps)


def state_of(optimizer):
    """The numbers beside each weight of the table."""
    return [value.numpy() for value in optimizer.variables if value.shape == (ROWS, DIM)]


# By row


@ROW_WISE
def test_rows_of_every_step_are_updated_as_by_the_dense_optimizer(name):
    expected = stock(STOCK[name], learning_rate=0.1)
    np.testing.assert_allclose(trained(of_config(name))[SEEN], expected[SEEN], atol=1e-6)


@ROW_WISE
def test_rows_of_no_step_and_what_is_kept_beside_them_stay_as_they_are(name):
    optimizer = of_config(name, weight_decay=0.1, l2=0.1)
    fresh = of_config(name)
    fresh.build([table()])
    weights = trained(optimizer)
    np.testing.assert_array_equal(weights[NEVER], table().numpy()[NEVER])
    assert len(state_of(optimizer)) == optimizer.slots
    for state, before in zip(state_of(optimizer), state_of(fresh), strict=True):
        np.testing.assert_array_equal(state[NEVER], before[NEVER])
        assert (state[SEEN] != before[SEEN]).all()


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_sgd_and_adagrad_equal_the_dense_ones_in_all_rows(name):
    np.testing.assert_allclose(trained(of_config(name)), stock(STOCK[name], learning_rate=0.1), atol=1e-6)


def test_a_row_that_adam_looks_up_now_and_then_moves_only_then():
    optimizer, weights = of_config("adam"), table()
    optimizer.build([weights])
    for rows, gradient in batches():
        before = weights.numpy()
        optimizer.apply([sum_duplicates(sparse(rows, gradient))], [weights])
        moved = (weights.numpy() != before).any(axis=1)
        assert moved.tolist() == [row in rows for row in range(ROWS)]


@ROW_WISE
def test_weight_decay_is_that_of_the_dense_optimizer_for_rows_of_every_step(name):
    expected = stock(STOCK[name], learning_rate=0.1, weight_decay=0.3)
    np.testing.assert_allclose(trained(of_config(name, weight_decay=0.3))[SEEN], expected[SEEN], atol=1e-6)


@ROW_WISE
def test_l2_is_a_part_of_the_gradient_of_rows_of_every_step(name):
    expected = stock(STOCK[name], l2=0.3, learning_rate=0.1)
    np.testing.assert_allclose(trained(of_config(name, l2=0.3))[SEEN], expected[SEEN], atol=1e-6)


@ROW_WISE
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.3}, {"l2": 0.3}], ids=["plain", "weight decay", "l2"])
def test_a_weight_that_is_no_table_is_updated_as_by_keras(name, more):
    own = trained(of_config(name, **more), gradient_of=lambda given, weights: tf.convert_to_tensor(given))
    keras_settings = {name: value for name, value in more.items() if name != "l2"}
    expected = stock(STOCK[name], l2=more.get("l2", 0), learning_rate=0.1, **keras_settings)
    np.testing.assert_allclose(own, expected, atol=1e-6)


@ROW_WISE
def test_steps_in_a_loop_of_one_compiled_function_equal_single_steps(name):
    steps = list(batches())
    rows, gradients = (tf.constant(np.stack(part)) for part in zip(*steps, strict=True))
    optimizer, weights = of_config(name, schedule="linear", total_steps=6), table()
    optimizer.build([weights])

    @tf.function
    def train():
        for step in tf.range(len(steps)):
            given = tf.IndexedSlices(gradients[step], rows[step], tf.constant([ROWS, DIM]))
            optimizer.apply([sum_duplicates(given)], [weights])

    train()
    single = trained(of_config(name, schedule="linear", total_steps=6), steps)
    np.testing.assert_allclose(weights.numpy(), single, atol=1e-6)


def lazy_adam(weights, steps, rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Adam as in Algorithm 1 of its paper, where a row without a gradient takes no part in a step."""
    weights = weights.astype(np.float64)
    means, squares = np.zeros_like(weights), np.zeros_like(weights)
    for step, (rows, gradients) in enumerate(steps, start=1):
        for row in set(rows.tolist()):
            gradient = gradients[rows == row].astype(np.float64).sum(axis=0)
            means[row] = beta_1 * means[row] + (1 - beta_1) * gradient
            squares[row] = beta_2 * squares[row] + (1 - beta_2) * gradient**2
            # The two corrections and epsilon in the order of the paper's more efficient variant, which Keras has too.
            corrected = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
            weights[row] -= corrected * means[row] / (np.sqrt(squares[row]) + epsilon)
    return weights


@st.composite
def random_steps(draw):
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        rows = draw(arrays.arrays(np.int32, st.integers(0, 6), elements=st.integers(0, ROWS - 1)))
        shape = (len(rows), DIM)
        # Not too small, for where a gradient is as small as epsilon rounding decides.
        elements = st.sampled_from([-2.0, -0.5, -0.125, 0.25, 1.0, 3.0])
        steps.append((rows, draw(arrays.arrays(np.float32, shape, elements=elements))))
    return steps


@settings(max_examples=40, deadline=None)
@given(random_steps())
def test_adam_by_row_is_lazy_adam(steps):
    np.testing.assert_allclose(trained(of_config("adam"), steps), lazy_adam(table().numpy(), steps), atol=2e-5)


def test_duplicates_are_summed_and_a_dense_gradient_stays_as_it_is():
    summed = sum_duplicates(sparse(np.array([5, 2, 5, 5]), np.array([[1.0], [2.0], [4.0], [8.0]], np.float32)))
    assert summed.indices.numpy().tolist() == [5, 2]
    assert summed.values.numpy().tolist() == [[13.0], [2.0]]
    dense = tf.ones([2, 2])
    assert sum_duplicates(dense) is dense


# Keras' others


def test_an_optimizer_of_keras_without_an_update_by_row_is_itself():
    expected = stock(keras.optimizers.RMSprop, learning_rate=0.1, weight_decay=0.3)
    np.testing.assert_allclose(trained(of_config("rmsprop", weight_decay=0.3)), expected, atol=1e-6)


@pytest.mark.parametrize("name", sorted(_dense_optimizers().keys() - OPTIMIZERS.keys()))
def test_every_optimizer_that_can_be_named_takes_a_step_with_a_table(name):
    weights = trained(of_config(name), list(batches(1)))
    assert np.isfinite(weights).all()
    assert (weights[SEEN] != table().numpy()[SEEN]).any()


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("Adam", "Adam"), ("sgd", "SGD"), ("RMSprop", "RMSprop")])
def test_an_optimizer_is_one_of_keras(name, kind):
    made = make_optimizer(TrainConfig(optimizer=name, learning_rate=0.25), 10)
    assert isinstance(made, getattr(keras.optimizers, kind))
    assert float(made.learning_rate) == 0.25


def test_an_unknown_optimizer_gives_the_near_names():
    with pytest.raises(UserError, match=r"Unknown optimizer 'adma'\. Did you mean .*'adam'"):
        make_optimizer(TrainConfig(optimizer="adma"), 10)


@pytest.mark.parametrize("name", ["LossScaleOptimizer", "Optimizer", "MultiOptimizer", "get"])
def test_a_wrapper_of_optimizers_cannot_be_named(name):
    with pytest.raises(UserError, match="Unknown optimizer"):
        make_optimizer(TrainConfig(optimizer=name), 10)


# Learning rates

HALF = np.sqrt(0.5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"warmup_steps": 4}, [0.25, 0.5, 0.75, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"schedule": "cosine"}, [1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2]),
        ({"schedule": "linear", "warmup_steps": 2}, [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ({"schedule": "cosine", "warmup_steps": 2}, [0.5, 1, 1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2]),
        ({"schedule": "linear", "warmup_steps": 9}, [1 / 9, 2 / 9, 3 / 9]),
    ],
)
def test_a_schedule_rises_and_falls_by_the_step(settings, expected):
    rate = learning_rate(TrainConfig(learning_rate=0.2, **settings), total_steps=len(expected))
    rates = [float(rate(step)) if callable(rate) else rate for step in range(len(expected))]
    np.testing.assert_allclose(rates, 0.2 * np.array(expected), rtol=1e-6)


def test_a_falling_rate_is_zero_after_the_last_step():
    rate = learning_rate(TrainConfig(schedule="linear"), total_steps=4)
    assert [float(rate(step)) for step in (4, 5, 100)] == [0, 0, 0]


# In training


class OfRows(Objective):
    """A loss whose gradient is 1 in all that is looked up of the users' vectors."""

    num_examples = 2

    def __init__(self, model, rows):
        self.model, self._rows = model, tf.constant(rows)

    def loss(self, batch):
        vectors = self.model.encode_query({"user": self._rows}, training=True)[:, :2]
        return tf.reduce_sum(vectors), tf.constant(1.0)


def users_after(rows, **settings):
    """By how much a step or two of SGD change the users' vectors."""
    model = zoo.build("mf", num_users=4, num_items=3, embedding_dim=2)
    before = model.get_weights()[0]
    config = TrainConfig(**{"optimizer": "sgd", "learning_rate": 1.0, "epochs": 1, **settings})
    Trainer(model, OfRows(model, rows), config, dict, "loss").fit()
    return before - model.get_weights()[0]


def test_gradients_are_clipped_by_the_norm_of_all_summed_rows():
    # The gradient is 2, 2 for one row and 1, 1 for another: its norm is the root of 10.
    changed = users_after([3, 4, 3], global_clipnorm=0.5)
    norm = np.sqrt(10)
    np.testing.assert_allclose(changed[3], np.array([2, 2]) * 0.5 / norm, rtol=1e-5)
    np.testing.assert_allclose(changed[4], np.array([1, 1]) * 0.5 / norm, rtol=1e-5)
    assert not changed[[0, 1, 2, 5]].any()


def test_a_gradient_below_the_largest_norm_is_not_clipped():
    np.testing.assert_allclose(users_after([3, 4, 3], global_clipnorm=4)[[3, 4]], [[2, 2], [1, 1]], rtol=1e-5)


def test_a_schedule_falls_over_all_steps_of_all_epochs():
    # Four steps at 1, 3/4, 1/2 and 1/4 of the learning rate.
    changed = users_after([3], schedule="linear", epochs=2, batch_size=1, steps_per_execution=1)
    np.testing.assert_allclose(changed[3], [2.5, 2.5], rtol=1e-5)


def test_epsilon_is_what_a_root_is_divided_by_at_least():
    assert make_optimizer(TrainConfig(optimizer="adam"), 1).epsilon == 1e-7
    assert make_optimizer(TrainConfig(optimizer="adam", epsilon=1e-3), 1).epsilon == 1e-3
    with pytest.raises(UserError, match=r"train\.epsilon does nothing with train\.optimizer=sgd"):
        make_optimizer(TrainConfig(optimizer="sgd", epsilon=1e-3), 1)
