from __future__ import annotations

import numpy as np
import pytest

from zoo.data.streamed import ROW, WINDOW, Shards


def make_shards(folder, counts):
    """Shards of numbered interactions, each with its own number as its item, in the order of the file."""
    shards = Shards(folder, np.array(counts))
    first = 0
    for number, count in enumerate(counts):
        rows = np.zeros(count, ROW)
        rows["item"], rows["label"] = np.arange(first, first + count), 1
        rows.tofile(shards._path(number))
        first += count
    return shards


def order_of(shards, seed, size=8):
    return np.concatenate([batch["item"] for batch in shards.batches(seed, size)])


@pytest.mark.parametrize("counts", [[600], [150] * WINDOW, [60] * (2 * WINDOW + 1)])
def test_interactions_are_shuffled_within_a_window(tmp_path, counts):
    """Data of one shard is the usual case: a shard has half a million interactions."""
    order = order_of(make_shards(tmp_path, counts), [0, 0])
    assert sorted(order) == list(range(sum(counts)))
    # Interactions that follow each other in the file do so in about one place of a random order of as many.
    followers = (np.diff(order) == 1).sum()
    assert followers < 15


def test_shards_of_a_window_are_mixed(tmp_path):
    order = order_of(make_shards(tmp_path, [150] * WINDOW), [0, 0])
    shard = order // 150
    same = (np.diff(shard) == 0).mean()
    assert 0.1 < same < 0.4, "one of four neighbours is of the same shard"


def test_every_epoch_has_an_order_of_its_own_that_its_seed_repeats(tmp_path):
    shards = make_shards(tmp_path, [300])
    first, again, other = (order_of(shards, seed) for seed in ([0, 0], [0, 0], [0, 1]))
    np.testing.assert_array_equal(first, again)
    assert (first == other).mean() < 0.1
