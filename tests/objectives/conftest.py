from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import zoo
from zoo.data.dataset import Dataset
from zoo.data.examples import Events
from zoo.objectives.base import Batch
from zoo.schema import FIRST_KNOWN, Feature, Schema, Vocabulary, history_features


def make_events(lengths, history_length, num_items=12, seed=0, labels=None) -> Dataset:
    """Training sequences of the given lengths, their users' events mixed up in time."""
    rng = np.random.default_rng(seed)
    users = rng.permutation(np.repeat(np.arange(len(lengths)) + FIRST_KNOWN, lengths)).astype(np.int32)
    frame = pd.DataFrame(
        {
            "user": users,
            "item": rng.integers(FIRST_KNOWN, num_items + FIRST_KNOWN, len(users)).astype(np.int32),
            "label": np.ones(len(users), np.float32) if labels is None else rng.choice(labels, len(users)),
            "timestamp": np.arange(len(users), dtype=np.float64),
            "part": "train",
        }
    )
    frame["label"] = frame["label"].astype(np.float32)
    num_rows = num_items + FIRST_KNOWN
    return Dataset(
        name="sequences",
        schema=Schema(
            [
                Feature("user", "user", "id", len(lengths) + FIRST_KNOWN),
                Feature("item", "item", "id", num_rows),
                *history_features(num_rows, history_length, max(1.0, float(frame["label"].max()))),
                Feature("label", "label", "numeric"),
            ]
        ),
        vocabularies={"user": Vocabulary(range(len(lengths))), "item": Vocabulary(range(num_items))},
        interactions=frame,
    )


@pytest.fixture(scope="session")
def sequences_of():
    """Makes training sequences; see `make_events`."""
    return make_events


@pytest.fixture(scope="session")
def batch_of():
    """Makes a batch of examples on one replica."""

    def make(examples, seed=(5, 7)) -> Batch:
        examples = tf.constant(np.asarray(examples), tf.int32)
        return Batch(examples, tf.constant(seed, tf.int32), tf.range(len(examples)), tf.constant(len(examples)))

    return make


@pytest.fixture(scope="session")
def share_out():
    """Makes of a batch what each of some replicas gets of it."""

    def make(batch: Batch, replicas: int) -> list[Batch]:
        places = [tf.range(replica, batch.size, replicas) for replica in range(replicas)]
        return [Batch(tf.gather(batch.examples, rows), batch.seed, rows, batch.size, batch.examples) for rows in places]

    return make


@pytest.fixture(scope="session")
def loss_of(batch_of):
    """The mean loss of some examples of an objective, by default of all."""

    def mean(objective, examples=None, seed=(5, 7)) -> float:
        examples = np.arange(objective.num_examples) if examples is None else examples
        total, weight = objective.loss(batch_of(examples, seed))
        return float(total) / float(weight)

    return mean


@pytest.fixture(scope="session")
def losses_of_steps(batch_of):
    """The mean losses of the same examples in many steps, which differ by what is drawn."""

    def losses(objective, examples, steps) -> np.ndarray:
        graph = tf.function(lambda *batch: objective.loss(Batch(*batch)))
        batches = [batch_of(examples, (3, step)) for step in range(steps)]
        sums = np.array([graph(batch.examples, batch.seed, batch.rows, batch.size) for batch in batches])
        return sums[:, 0] / sums[:, 1]

    return losses


@pytest.fixture(scope="session")
def shaken():
    """Builds a recommender whose weights are far from zero."""

    def build(name: str, data: Dataset, **hparams):
        model = zoo.build(name, data.schema, **hparams)
        rng = np.random.default_rng(0)
        for weight in model.trainable_weights:
            weight.assign(rng.normal(0, 0.5, weight.shape))
        return model

    return build


class Seen:
    """Training events as samplers read them, made of the places in the catalogue of what each user has seen."""

    def __init__(self, seen, num_known, counts=None) -> None:
        # Rows of padding and unknown come first and have no events.
        seen = [[], [], *(list(places) for places in seen)]
        self.num_items = num_known + FIRST_KNOWN
        self.users = tf.constant(np.repeat(np.arange(len(seen)), [len(places) for places in seen]), tf.int32)
        self.items = tf.constant([place + FIRST_KNOWN for places in seen for place in places], tf.int32)
        self.first = tf.constant(np.cumsum([0, *map(len, seen)]), tf.int32)
        self.item_counts = np.bincount(self.items, minlength=self.num_items)
        if counts is not None:
            self.item_counts = np.array([0] * FIRST_KNOWN + counts)

    def at(self, examples) -> Events:
        """Every event is an example."""
        return Events(tf.gather(self.users, examples), tf.gather(self.items, examples), None, {})


@pytest.fixture(scope="session")
def seen_by():
    """Makes training events; see `Seen`."""
    return Seen


@pytest.fixture(scope="session")
def draw(batch_of):
    """Calls a sampler for users; gives places in the catalogue (-2 for none) and weights."""

    def call(sampler, users, seed=(5, 7)):
        users = tf.constant(np.asarray(users), tf.int32)
        items, weights = sampler(Events(users, tf.zeros_like(users), None, {}), batch_of(np.arange(len(users)), seed))
        return items.numpy() - FIRST_KNOWN, weights.numpy()

    return call
