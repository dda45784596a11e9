"""What holds for every objective: replicas share its work, it is compiled, and each step has draws of its own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.objectives import OBJECTIVES, make_objective
from zoo.objectives.base import Batch
from zoo.training.fitting import interaction_matrix, rating_matrix

# An architecture to train with each objective, its hparams, and options that make every part of it run.
CASES = {
    "pointwise": ("mf", {}, {"negatives": 2, "l2": 0.1}),
    "pointwise with shared negatives": ("mf", {}, {"shared": 5, "l2": 0.1}),
    "pointwise with popular negatives": ("ncf", {}, {"sampler": "popularity"}),
    "pointwise with negatives of the batch": ("mf", {}, {"sampler": "in-batch"}),
    "pointwise with hard negatives": ("mf", {}, {"sampler": "hard"}),
    "pointwise of ratings": ("mf", {}, {"feedback": "explicit", "l2": 0.1}),
    "bpr": ("mf", {}, {"l2": 0.1}),
    "gbce": ("mf", {}, {"negatives": 4}),
    "sampled_softmax": ("mf", {}, {"negatives": 6, "sampler": "popularity"}),
    "in_batch_softmax": ("mf", {}, {"avoid_seen": True}),
    "full_softmax": ("mf", {}, {}),
    "reconstruction": ("autoencoder", {"dropout": 0.0}, {}),
    "item_reconstruction": ("item_autoencoder", {"hidden": 4}, {}),
    "next_item": ("lstm", {"dropout": 0.0}, {}),
    "next_item_sampled": ("sasrec", {"dropout": 0.0}, {"negatives": 6, "sampler": "popularity"}),
    "next_item_bce": ("sasrec", {"dropout": 0.0}, {"negatives": 2}),
    "next_item_gbce": ("sasrec", {"dropout": 0.0}, {"negatives": 4, "shared": 6}),
    "masked_items": ("bert4rec", {"dropout": 0.0}, {}),
    "contrastive_bpr": ("xsimgcl", {"embedding_dim": 4, "noise": 0.0}, {"l2": 0.1}),
    "graph_constraints": ("ultragcn", {}, {"shared": 5, "l2": 0.1}),
    "rating_levels": ("gcmc", {"units": 3, "embedding_dim": 4, "dropout": 0.0}, {}),
}

# They pick out what is trained, of which there is more in one batch than in another; or messages are summed along the
# edges of a graph, for which XLA has no kernel.
NOT_FOR_XLA = (
    "item_reconstruction",
    "masked_items",
    "next_item",
    "next_item_bce",
    "next_item_gbce",
    "next_item_sampled",
    "contrastive_bpr",
    "rating_levels",
)


def make(case, sequences_of, shaken):
    data = sequences_of([4, 3, 5, 6, 2, 4], 5, num_items=12, labels=[1, 3, 5])
    architecture, hparams, options = CASES[case]
    model = shaken(architecture, data, **hparams)
    model.adapt(interactions=lambda: interaction_matrix(data), ratings=lambda: rating_matrix(data))
    return make_objective(case.split()[0], model, data, options)


@pytest.fixture(params=CASES)
def objective(request, sequences_of, shaken):
    return make(request.param, sequences_of, shaken)


# They draw codes in the model, not from the seed of a step, so two computations of a loss differ; see test_elbo.py.
DRAWN_IN_THE_MODEL = {"elbo", "alternating_elbo"}


def test_every_objective_is_among_the_cases():
    assert {case.split()[0] for case in CASES} == set(OBJECTIVES) - DRAWN_IN_THE_MODEL


@pytest.mark.parametrize("replicas", [2, 3])
def test_the_losses_of_replicas_sum_up_to_that_of_the_whole_batch(objective, batch_of, share_out, replicas):
    batch = batch_of(np.arange(objective.num_examples)[:11])
    total, weight = objective.loss(batch)
    parts = [objective.loss(share) for share in share_out(batch, replicas)]
    assert sum(float(part) for part, _ in parts) == pytest.approx(float(total), rel=1e-5)
    assert sum(float(part) for _, part in parts) == pytest.approx(float(weight), rel=1e-5)


def test_a_compiled_loss_is_the_same_whatever_the_size_of_the_batch(objective, batch_of):
    graph = tf.function(lambda *batch: objective.loss(Batch(*batch)), reduce_retracing=True)
    for size in (5, 3, 1):
        batch = batch_of(np.arange(objective.num_examples)[:size])
        total, weight = graph(batch.examples, batch.seed, batch.rows, batch.size)
        expected, expected_weight = objective.loss(batch)
        assert float(total) == pytest.approx(float(expected), rel=1e-5)
        assert float(weight) == pytest.approx(float(expected_weight), rel=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case not in NOT_FOR_XLA])
def test_a_loss_compiled_by_xla_is_the_same(case, sequences_of, shaken, batch_of):
    objective = make(case, sequences_of, shaken)
    batch = batch_of(np.arange(objective.num_examples)[:6])
    compiled = tf.function(lambda *batch: objective.loss(Batch(*batch)), jit_compile=True)
    total, weight = compiled(batch.examples, batch.seed, batch.rows, batch.size)
    expected, expected_weight = objective.loss(batch)
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    assert float(weight) == pytest.approx(float(expected_weight), rel=1e-5)


def test_draws_differ_by_seed_and_by_salt_and_are_the_same_again(batch_of):
    batch = batch_of(range(4))
    draws = batch.uniform(3).numpy()
    assert draws.shape == (4, 3)
    assert ((draws >= 0) & (draws < 1)).all()
    np.testing.assert_array_equal(batch_of(range(4)).uniform(3), draws)
    for other in (batch.uniform(3, salt=1), batch_of(range(4), seed=(5, 8)).uniform(3)):
        assert not np.isin(draws, other.numpy()).any()


def test_a_replica_draws_its_rows_of_what_the_batch_draws(batch_of, share_out):
    batch = batch_of(range(7))
    draws = batch.uniform(2, dtype=tf.float64).numpy()
    for replica, share in enumerate(share_out(batch, 3)):
        np.testing.assert_array_equal(share.uniform(2, dtype=tf.float64), draws[replica::3])
        np.testing.assert_array_equal(share.salted(4), batch.salted(4))


def test_a_replica_takes_its_share_for_a_batch_without_the_whole_one(
    batch_of, share_out, sequences_of, shaken, loss_of
):
    data = sequences_of([4, 3, 5], 5)
    objective = make_objective("in_batch_softmax", shaken("mf", data), data, {})
    share = share_out(batch_of(np.arange(12)), 2)[1]
    only_share = Batch(share.examples, share.seed, share.rows, share.size)
    total, weight = objective.loss(only_share)
    assert float(total) / float(weight) == pytest.approx(loss_of(objective, np.arange(1, 12, 2)), rel=1e-6)
