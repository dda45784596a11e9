"""Samplers of negatives, the items that a positive is told apart from. One sampler a class.

Every sampler is called with the events of a batch and the `Batch`, and gives `Drawn`. What it draws does not depend
on how many replicas share the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from zoo.data.examples import Events, TrainingEvents
from zoo.errors import UserError, unknown_name
from zoo.families import Recommender
from zoo.objectives.base import Batch, check_at_least
from zoo.objectives.seen import SeenItems, Sorted, unique_pairs
from zoo.options import options_of
from zoo.schema import FIRST_KNOWN

# The power of its frequency by which word2vec draws a word (Mikolov et al., 2013, arXiv:1310.4546).
ALPHA = 0.75

# Items of which the hard sampler takes the best.
CANDIDATES = 16

# Salts that make the draws of one step differ.
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
    """A function that draws negatives."""

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


class Unseen:
    """Own negatives from the items that a user has not seen, by their masses, without a single rejection.

    On the line of a user's unseen items a uniform draw hits one place. Before every seen item that line has
    a known length, so a binary search over these lengths tells which seen items to skip, and the place on
    the line of all items tells the item. Masses are whole numbers, so none is ever rounded onto a seen item.

    A user who has seen every item has no negatives: all weights are 0.

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
        seen = masses[items - FIRST_KNOWN]
        # The mass of all pairs before a pair.
        skipped = np.concatenate([[0], np.cumsum(seen)])
        seen_before = skipped[:-1] - skipped[first[users]]
        unseen_before = self._line.starts_of(items) - seen_before
        self._lengths = Sorted(users * (self._line.length + 1) + unseen_before, longest=int(counts.max()))
        self._first, self._skipped = tf.constant(first, tf.int32), tf.constant(skipped, tf.int64)

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        users = events.users[:, None]
        first = tf.gather(self._first, users)
        skipped = tf.gather(self._skipped, first)
        unseen = self._line.length - tf.gather(self._skipped, tf.gather(self._first, users + 1)) + skipped
        draws = batch.uniform(self._number, salt=OWN, dtype=tf.float64)
        places = tf.cast(draws * tf.cast(unseen, tf.float64), tf.int64)
        before = self._lengths.count(tf.cast(users, tf.int64) * (self._line.length + 1) + places, first)
        items = self._line.items_at(places + tf.gather(self._skipped, before) - skipped)
        exists = unseen > 0
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
        avoid_seen: Whether an item weighs nothing for a user who has seen it. The others then weigh as much more
            as makes up for it: what a user's negatives weigh together is expected to stay the same.
    """

    def __init__(
        self, events: TrainingEvents, masses: np.ndarray, number: int, weight: float = 1.0, avoid_seen: bool = False
    ) -> None:
        self._line, self._number, self._weight = Line(masses), number, weight
        shares = masses / masses.sum()
        self._log_shares = tf.constant(np.log([*np.ones(FIRST_KNOWN), *shares]), tf.float32)
        self._seen = SeenItems(events) if avoid_seen else None
        if avoid_seen:
            users, items = unique_pairs(events)
            num_users = events.first.shape[0] - 1
            has_unseen = np.bincount(users, minlength=num_users) < len(masses)
            unseen = 1 - np.bincount(users, shares[items - FIRST_KNOWN], num_users)
            weights = np.divide(weight, unseen, out=np.zeros(num_users), where=has_unseen)
            self._weights = tf.constant(weights, tf.float32)

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        draws = batch.shared_uniform(self._number, salt=SHARED, dtype=tf.float64)
        places = (tf.range(self._number, dtype=tf.float64) + draws) * (self._line.length / self._number)
        items = self._line.items_at(tf.minimum(tf.cast(places, tf.int64), self._line.length - 1))
        if self._seen is None:
            return Drawn(items, tf.fill([tf.size(events.users), self._number], self._weight))
        weights = tf.gather(self._weights, events.users)[:, None]
        return Drawn(items, tf.where(self._seen.shared(events.users, items), 0.0, weights))

    def log_expected(self, items: tf.Tensor) -> tf.Tensor:
        """The logarithm of how often each item is expected in a sample, float32."""
        return tf.gather(self._log_shares, items) + np.float32(np.log(self._number))


class InBatch:
    """Own negatives from the positives of the other examples of the batch, and therefore by popularity.

    Args:
        events: The training events. What a user has seen weighs 0.
        number: Negatives a positive.
    """

    def __init__(self, events: TrainingEvents, number: int) -> None:
        self._events, self._seen, self._number = events, SeenItems(events), number

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        examples, own = batch.companions()
        positives = self._events.at(examples).items
        others = tf.size(positives) - 1
        draws = batch.uniform(self._number, salt=OWN)
        steps = 1 + tf.cast(draws * tf.cast(others, tf.float32), tf.int32)
        items = tf.gather(positives, (own[:, None] + steps) % (others + 1))
        # Streamed events do not tell what is seen except the positive itself.
        is_unseen = ~self._seen.pairs(events.users, items) & (items != events.items[:, None])
        return Drawn(items, tf.cast(is_unseen, tf.float32))


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
        self._uniform = Unseen(events, uniform_masses(events), candidates)
        self._model, self._number = model, number

    def __call__(self, events: Events, batch: Batch) -> Drawn:
        """Draws negatives."""
        items, weights = self._uniform(events, batch)
        scores = tf.stop_gradient(self._model.score_items(events.query, items))
        _, best = tf.math.top_k(scores, self._number)
        return Drawn(tf.gather(items, best, batch_dims=1), tf.gather(weights, best, batch_dims=1))


# A sampler by the name that options give it. Parameters with a default are the options that it takes.


def _hard(events: TrainingEvents, model: Recommender, negatives: int, candidates: int = CANDIDATES) -> Sampler:
    check_at_least("candidates", candidates, negatives + 1)
    return Hard(events, model, negatives, candidates)


def _in_batch(events: TrainingEvents, model: Recommender, negatives: int) -> Sampler:
    return InBatch(events, negatives)


def _popularity(events: TrainingEvents, model: Recommender, negatives: int, alpha: float = ALPHA) -> Sampler:
    return Unseen(events, popularity_masses(events, alpha), negatives)


def _uniform(events: TrainingEvents, model: Recommender, negatives: int) -> Sampler:
    return Unseen(events, uniform_masses(events), negatives)


def uniform_masses(events: TrainingEvents) -> np.ndarray:
    """The mass 1 for each known item, `[known items]` int64."""
    return np.ones(events.num_items - FIRST_KNOWN, np.int64)


def popularity_masses(events: TrainingEvents, alpha: float = ALPHA) -> np.ndarray:
    """How likely each known item is to be drawn by its popularity, relative to the others.

    Args:
        events: The training events.
        alpha: The power of how often an item is a positive; 0 is uniform. An item that never is a positive counts
            as if it were once, so that every item is a negative now and then.

    Returns:
        `[known items]` int64, at least 1 each.

    Raises:
        UserError: For a negative alpha.
    """
    check_at_least("alpha", alpha, 0)
    counts = events.item_counts[FIRST_KNOWN:]
    powers = (np.maximum(counts, 1) / max(counts.max(), 1)) ** alpha
    # Whole numbers so large that rounding does not matter, and so small that a draw of 53 bits reaches every place
    # and that a user and a place fit into 63 bits.
    bits = min(48, 62 - int(events.first.shape[0]).bit_length())
    return np.maximum(powers / powers.sum() * 2**bits, 1).astype(np.int64)


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "hard": _hard,
    "in-batch": _in_batch,
    "popularity": _popularity,
    "uniform": _uniform,
}
# Samplers that draw an item by a mass of its own, whoever asks. Only these can share negatives over a batch.
MASSES: dict[str, Callable[..., np.ndarray]] = {"popularity": popularity_masses, "uniform": uniform_masses}


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
        alpha: See `popularity_masses`.
        candidates: Items of which `"hard"` takes the best.
        shared: Negatives of a whole batch, or 0: each positive has its own.
        avoid_seen: See `Shared`. Own negatives are always items that their user has not seen.

    Returns:
        A `Sampler`.

    Raises:
        UserError: For an unknown name, or an option that is out of range or would do nothing.
    """
    options = _taken(name, alpha=alpha, candidates=candidates)
    check_at_least("negatives", negatives, 1)
    check_at_least("shared", shared, 0)
    if shared:
        return _shared(name, events, negatives, shared, avoid_seen, options)
    if not avoid_seen:
        raise UserError(
            "avoid_seen=false goes with shared negatives only; own ones are never items that their user has seen. "
            "Set shared too, or leave avoid_seen out."
        )
    return SAMPLERS[name](events, model, negatives, **options)


def make_shared(name: str, events: TrainingEvents, number: int, alpha: float = ALPHA) -> Shared:
    """A sample of the catalogue for a whole batch, in which each item weighs 1 whoever has seen it.

    Args:
        name: One of `MASSES`.
        events: The training events.
        number: Items of a sample.
        alpha: See `popularity_masses`.

    Returns:
        A `Shared`.

    Raises:
        UserError: As of `make_sampler`.
    """
    options = _taken(name, alpha=alpha)
    check_at_least("negatives", number, 1)
    return _shared(name, events, number, number, False, options)


def _taken(name: str, **options: float) -> dict[str, float]:
    """The options that a sampler takes. Raises a `UserError` if the name is unknown or another option does nothing."""
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    takes = {sampler: options_of(function) for sampler, function in SAMPLERS.items()}
    for option, value in options.items():
        others = [sampler for sampler, taken in takes.items() if option in taken]
        if option not in takes[name] and value != takes[others[0]][option].default:
            raise UserError(
                f"{option} does nothing with sampler={name}; it goes with sampler={' or '.join(others)}. "
                f"Leave out {option}={value}, or change the sampler."
            )
    return {option: value for option, value in options.items() if option in takes[name]}


def _shared(
    name: str, events: TrainingEvents, negatives: int, shared: int, avoid_seen: bool, options: Mapping[str, float]
) -> Shared:
    if name not in MASSES:
        raise UserError(
            f"sampler={name} draws negatives for each positive; a batch cannot share them. "
            f"Set shared=0, or sampler={' or '.join(MASSES)}."
        )
    known = events.num_items - FIRST_KNOWN
    if shared > known:
        raise UserError(f"Only the {known} items of the catalogue can be drawn for a batch. Received: {shared}.")
    # Streamed events do not tell who has seen what.
    avoid_seen &= events.items.shape[0] > 0
    return Shared(events, MASSES[name](events, **options), shared, negatives / shared, avoid_seen)
