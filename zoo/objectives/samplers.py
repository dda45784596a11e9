"""Negatives: items that a positive is told apart from. One sampler a class.

Every sampler is called with the events of a batch and the `Batch`, and gives `Drawn`. What it draws does not depend
on how many replicas share the batch.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from zoo.data.examples import Events, TrainingEvents
from zoo.errors import UserError, unknown_name
from zoo.families import Recommender
from zoo.objectives.base import Batch, check_at_least
from zoo.objectives.met import MetItems, Sorted, unique_pairs
from zoo.schema import FIRST_KNOWN

# Samplers that draw an item by a mass of its own, whoever asks; only these can share negatives over a batch.
BY_MASS = ("popularity", "uniform")
SAMPLERS = ("hard", "in-batch", *BY_MASS)

# The power of its frequency by which word2vec draws a word (Mikolov et al., 2013, arXiv:1310.4546).
ALPHA = 0.75

# Items of which the hard sampler takes the best.
CANDIDATES = 16

# So that draws of one step differ.
OWN, SHARED = 1, 2


class Drawn(NamedTuple):
    """Negatives of a batch.

    Args:
        items: int32, `[n, number]`: own ones of every positive; or `[number]`: the same for all.
        weights: `[n, number]` float32. A weight of 0 takes a negative out; its item may be any then.
    """

    items: tf.Tensor
    weights: tf.Tensor


class Sampler(Protocol):
    """What draws negatives."""

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives for each event, as a graph operation."""


class Line:
    """The items of the catalogue laid end to end, each as long as its mass.

    Args:
        masses: `[known items]` int64, at least 1 each.
    """

    def __init__(self, masses: np.ndarray) -> None:
        self.length = int(masses.sum())
        # Items of mass 1 are at the place that is their number.
        self._ends = np.cumsum(masses) if self.length > len(masses) else None
        self._search = None if self._ends is None else Sorted(self._ends)

    def starts_of(self, items: np.ndarray) -> np.ndarray:
        """The places, int64, where the stretches of item indices begin."""
        if self._ends is None:
            return items - FIRST_KNOWN
        return np.concatenate([[0], self._ends])[items - FIRST_KNOWN]

    def items_at(self, places: tf.Tensor) -> tf.Tensor:
        """The item indices (int32) that int64 places below `length` fall on."""
        numbers = self._search.count(places) if self._search else tf.cast(places, tf.int32)
        return numbers + FIRST_KNOWN


class Unmet:
    """Own negatives from the items that a user has not met, by their masses, without a single rejection.

    On the line of a user's unmet items a uniform draw hits one place. Before every met item that line has
    a known length, so a binary search over these lengths tells which met items to skip, and the place on
    the line of all items tells the item. Masses are whole numbers, so none is ever rounded onto a met item.

    A user who has met every item has no negatives: all weights are 0.

    Args:
        events: The training events; all items of a user's events are avoided.
        masses: `[known items]` int64, how likely each item is relative to the others.
        number: Negatives a positive.
    """

    def __init__(self, events: TrainingEvents, masses: np.ndarray, number: int) -> None:
        self._line, self._number = Line(masses), number
        users, items = unique_pairs(events)
        counts = np.bincount(users, minlength=events.first.shape[0] - 1)
        first = np.concatenate([[0], np.cumsum(counts)])
        met = masses[items - FIRST_KNOWN]
        # The mass of all pairs before a pair.
        skipped = np.concatenate([[0], np.cumsum(met)])
        met_before = skipped[:-1] - skipped[first[users]]
        unmet_before = self._line.starts_of(items) - met_before
        self._lengths = Sorted(users * (self._line.length + 1) + unmet_before, longest=int(counts.max()))
        self._first, self._skipped = tf.constant(first, tf.int32), tf.constant(skipped, tf.int64)

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        users = events.users[:, None]
        first = tf.gather(self._first, users)
        skipped = tf.gather(self._skipped, first)
        unmet = self._line.length - tf.gather(self._skipped, tf.gather(self._first, users + 1)) + skipped
        draws = batch.uniform(self._number, salt=OWN, dtype=tf.float64)
        places = tf.cast(draws * tf.cast(unmet, tf.float64), tf.int64)
        before = self._lengths.count(tf.cast(users, tf.int64) * (self._line.length + 1) + places, first)
        items = self._line.items_at(places + tf.gather(self._skipped, before) - skipped)
        exists = unmet > 0
        return Drawn(tf.where(exists, items, 0), tf.broadcast_to(tf.cast(exists, tf.float32), tf.shape(items)))


class Shared:
    """One set of negatives for a whole batch, drawn from the whole catalogue by the items' masses.

    The line of the catalogue is cut into as many stretches as items are drawn, and each gives one. An item
    is expected as often as by independent draws, but the sample is spread evenly: as many uniform draws as
    there are items are the whole catalogue.

    Args:
        events: The training events.
        masses: `[known items]` int64, how likely each item is relative to the others.
        number: Items drawn a batch.
        weight: What each of them weighs.
        avoid_seen: Whether an item weighs nothing for a user who met it. The others then weigh as much more
            as makes up for it: what a user's negatives weigh together is expected to stay the same.
    """

    def __init__(
        self, events: TrainingEvents, masses: np.ndarray, number: int, weight: float = 1.0, avoid_seen: bool = False
    ) -> None:
        self._line, self._number, self._weight = Line(masses), number, weight
        shares = masses / masses.sum()
        self._log_shares = tf.constant(np.log([*np.ones(FIRST_KNOWN), *shares]), tf.float32)
        self._met = MetItems(events) if avoid_seen else None
        if avoid_seen:
            users, items = unique_pairs(events)
            num_users = events.first.shape[0] - 1
            has_unmet = np.bincount(users, minlength=num_users) < len(masses)
            unmet = 1 - np.bincount(users, shares[items - FIRST_KNOWN], num_users)
            weights = np.divide(weight, unmet, out=np.zeros(num_users), where=has_unmet)
            self._weights = tf.constant(weights, tf.float32)

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        draws = batch.shared_uniform(self._number, salt=SHARED, dtype=tf.float64)
        places = (tf.range(self._number, dtype=tf.float64) + draws) * (self._line.length / self._number)
        items = self._line.items_at(tf.minimum(tf.cast(places, tf.int64), self._line.length - 1))
        if self._met is None:
            return Drawn(items, tf.fill([tf.size(events.users), self._number], self._weight))
        weights = tf.gather(self._weights, events.users)[:, None]
        return Drawn(items, tf.where(self._met.shared(events.users, items), 0.0, weights))

    def log_expected(self, items: tf.Tensor) -> tf.Tensor:
        """The logarithm of how often each item is expected in a sample, float32."""
        return tf.gather(self._log_shares, items) + np.float32(np.log(self._number))


class InBatch:
    """Own negatives from the positives of the other examples of the batch, so by popularity.

    Args:
        events: The training events. What a user has met weighs 0.
        number: Negatives a positive.
    """

    def __init__(self, events: TrainingEvents, number: int) -> None:
        self._events, self._met, self._number = events, MetItems(events), number

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        examples, own = batch.companions()
        positives = self._events.at(examples).items
        others = tf.size(positives) - 1
        draws = batch.uniform(self._number, salt=OWN)
        steps = 1 + tf.cast(draws * tf.cast(others, tf.float32), tf.int32)
        items = tf.gather(positives, (own[:, None] + steps) % (others + 1))
        # Of streamed events only the positive itself is known to be met.
        is_unmet = ~self._met.pairs(events.users, items) & (items != events.items[:, None])
        return Drawn(items, tf.cast(is_unmet, tf.float32))


class Hard:
    """Own negatives that the model scores highest among more uniform ones.

    Dynamic negative sampling (Zhang et al., 2013, 10.1145/2484028.2484126).

    Args:
        events: The training events; all items of a user's events are avoided.
        model: The recommender that is being trained.
        number: Negatives a positive.
        candidates: Items drawn, of which the highest scored are taken.
    """

    def __init__(self, events: TrainingEvents, model: Recommender, number: int, candidates: int) -> None:
        self._uniform = Unmet(events, make_masses("uniform", events, ALPHA), candidates)
        self._model, self._number = model, number

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        items, weights = self._uniform(events, batch)
        scores = tf.stop_gradient(self._model.score_items(events.query, items))
        _, best = tf.math.top_k(scores, self._number)
        return Drawn(tf.gather(items, best, batch_dims=1), tf.gather(weights, best, batch_dims=1))


def make_sampler(
    name: str,
    events: TrainingEvents,
    model: Recommender,
    negatives: int,
    alpha: float = ALPHA,
    candidates: int = CANDIDATES,
    shared: int = 0,
    avoid_seen: bool = True,
) -> Sampler:
    """The sampler that the options of an objective name.

    Args:
        name: One of `SAMPLERS`.
        events: The training events.
        model: The recommender to train.
        negatives: Negatives a positive; what its negatives weigh together.
        alpha: See `make_masses`.
        candidates: Items of which `"hard"` takes the best.
        shared: Negatives of a whole batch, or 0: each positive has its own.
        avoid_seen: See `Shared`. Own negatives are never items that their user met.

    Returns:
        A `Sampler`.

    Raises:
        UserError: For an unknown name, or an option that is out of range or would do nothing.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    check_at_least("negatives", negatives, 1)
    check_at_least("shared", shared, 0)
    if name != "popularity" and alpha != ALPHA:
        raise UserError(f"alpha does nothing with sampler={name}; it goes with sampler=popularity.")
    if name != "hard" and candidates != CANDIDATES:
        raise UserError(f"candidates does nothing with sampler={name}; it goes with sampler=hard.")
    if shared:
        if name not in BY_MASS:
            raise UserError(f"sampler={name} draws negatives for each positive; a batch cannot share them.")
        known = events.num_items - FIRST_KNOWN
        if shared > known:
            raise UserError(f"Only the {known} items of the catalogue can be drawn for a batch. Received: {shared}.")
        # Of streamed events it is not known who met what.
        avoid_seen &= events.items.shape[0] > 0
        return Shared(events, make_masses(name, events, alpha), shared, negatives / shared, avoid_seen)
    if not avoid_seen:
        raise UserError("avoid_seen=false goes with shared negatives; own ones are never items that their user met.")
    if name == "hard":
        check_at_least("candidates", candidates, negatives + 1)
        return Hard(events, model, negatives, candidates)
    if name == "in-batch":
        return InBatch(events, negatives)
    return Unmet(events, make_masses(name, events, alpha), negatives)


def make_masses(name: str, events: TrainingEvents, alpha: float) -> np.ndarray:
    """How likely each known item is to be drawn, relative to the others.

    Args:
        name: `"uniform"`, or `"popularity"`: by the power `alpha` of how often an item is a positive. One
            that never is counts as if it were once, so that every item is a negative now and then.
        events: The training events.
        alpha: The power of popularity; 0 is uniform.

    Returns:
        `[known items]` int64, at least 1 each.

    Raises:
        UserError: For a negative alpha.
    """
    if name == "uniform":
        return np.ones(events.num_items - FIRST_KNOWN, np.int64)
    check_at_least("alpha", alpha, 0)
    counts = events.item_counts[FIRST_KNOWN:]
    powers = (np.maximum(counts, 1) / max(counts.max(), 1)) ** alpha
    # Whole numbers so large that rounding does not matter, and so small that a draw of 53 bits reaches every place
    # and that a user and a place fit into 63 bits.
    bits = min(48, 62 - int(events.first.shape[0]).bit_length())
    return np.maximum(powers / powers.sum() * 2**bits, 1).astype(np.int64)
