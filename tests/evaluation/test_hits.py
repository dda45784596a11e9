from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import ndcg_score

from zoo.errors import UserError
from zoo.evaluation import hits as module
from zoo.evaluation.figures import ranking_metrics
from zoo.evaluation.hits import hits_of

NAMES = ("hr", "recall", "precision", "ndcg", "map", "mrr")


@st.composite
def rankings(draw):
    """Hits and held-out counts of a few users, with some held-out items that were not ranked."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 12)))
    hits = draw(arrays.arrays(bool, shape))
    missed = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, 5)))
    return hits, np.maximum(hits.sum(axis=1) + missed, 1)


def naive_metrics(hits, num_relevant, k):
    """The definitions written out for one user, one rank at a time."""
    found, precision_sum, gain, reciprocal = 0, 0.0, 0.0, 0.0
    for rank in range(1, k + 1):
        if hits[rank - 1]:
            found += 1
            precision_sum += found / rank
            gain += 1 / math.log2(rank + 1)
            reciprocal = reciprocal or 1 / rank
    most = min(num_relevant, k)
    return {
        "hr": float(found > 0),
        "recall": found / num_relevant,
        "precision": found / k,
        "ndcg": gain / sum(1 / math.log2(rank + 1) for rank in range(1, most + 1)),
        "map": precision_sum / most,
        "mrr": reciprocal,
    }


def test_the_examples_of_the_docstrings_hold():
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed


class TestHitsOf:
    def test_finds_only_held_out_items_of_the_same_user(self):
        ranked = np.array([[5, 3, 9], [3, 5, 8], [2, 4, 6]])
        hits = hits_of(ranked, rows=np.array([0, 0, 1]), items=np.array([3, 7, 5]))
        assert hits.tolist() == [[False, True, False], [False, True, False], [False, False, False]]
        assert hits.dtype == bool

    def test_empty_slots_are_no_hits(self):
        # Were -1 a key like any other, row 1's would be that of item 5 in row 0.
        hits = hits_of(np.array([[4, 0], [-1, 5]], dtype=np.int32), rows=np.array([0, 1]), items=np.array([5, 5]))
        assert hits.tolist() == [[False, False], [False, True]]

    def test_keys_do_not_overflow_for_int32_ids(self):
        # 3 * (2**30 + 1) does not fit an int32.
        largest = 2**30
        ranked = np.full((4, 1), largest, dtype=np.int32)
        hits = hits_of(ranked, rows=np.array([3], dtype=np.int32), items=np.array([largest], dtype=np.int32))
        assert hits[:, 0].tolist() == [False, False, False, True]

    def test_nothing_is_a_hit_if_there_are_no_held_out_pairs(self):
        assert not hits_of(np.array([[1, 2]]), rows=np.array([], int), items=np.array([], int)).any()

    @given(st.data())
    @settings(max_examples=40, deadline=None)
    def test_equals_set_membership(self, data):
        ranked = data.draw(arrays.arrays(np.int32, (4, 5), elements=st.integers(0, 9)))
        pairs = sorted(data.draw(st.sets(st.tuples(st.integers(0, 3), st.integers(1, 12)))))
        rows, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        expected = [[(row, item) in pairs for item in ranked[row]] for row in range(4)]
        assert hits_of(ranked, rows, items).tolist() == expected

    @pytest.mark.parametrize(
        ("ranked", "rows", "items", "message"),
        [
            ([[1]], [0, 0], [1], "same length"),
            ([1], [0], [1], "num_users, k"),
            ([[1]], [1], [1], "rows from 0 to 0. Received: 1 to 1"),
            ([[1]], [-1], [1], "rows from 0 to 0. Received: -1 to -1"),
            ([[1]], [0], [0], "at least 1. Received: 0"),
        ],
    )
    def test_refuses(self, ranked, rows, items, message):
        with pytest.raises(UserError, match=message):
            hits_of(np.array(ranked), np.array(rows), np.array(items))


class TestRankingMetrics:
    def test_by_hand(self):
        # Hits at ranks 2 and 3 of 4, with 3 held-out items.
        result = ranking_metrics(np.array([[False, True, True, False]]), np.array([3]), ks=(2, 4))
        one, two, three = 1.0, 1 / math.log2(3), 1 / 2
        expected = {
            "hr@2": 1.0,
            "recall@2": 1 / 3,
            "precision@2": 1 / 2,
            "ndcg@2": two / (one + two),
            "map@2": (1 / 2) / 2,
            "mrr@2": 1 / 2,
            "hr@4": 1.0,
            "recall@4": 2 / 3,
            "precision@4": 2 / 4,
            "ndcg@4": (two + three) / (one + two + three),
            "map@4": (1 / 2 + 2 / 3) / 3,
            "mrr@4": 1 / 2,
        }
        assert {name: values.item() for name, values in result.items()} == pytest.approx(expected)

    def test_a_hit_below_the_cut_off_counts_nothing(self):
        result = ranking_metrics(np.array([[False, False, True]]), np.array([1]), ks=(2,))
        assert {name: values.tolist() for name, values in result.items()} == {f"{n}@2": [0.0] for n in NAMES}

    def test_returns_one_float64_per_user(self):
        result = ranking_metrics(np.zeros((3, 10), bool), np.array([1, 2, 3]))
        assert list(result) == [f"{name}@10" for name in NAMES]
        assert all(values.shape == (3,) and values.dtype == np.float64 for values in result.values())

    @given(rankings(), st.data())
    @settings(max_examples=60, deadline=None)
    def test_equals_the_definitions_written_out(self, ranking, data):
        hits, num_relevant = ranking
        k = data.draw(st.integers(1, hits.shape[1]))
        result = ranking_metrics(hits, num_relevant, ks=(k,))
        for user in range(len(hits)):
            expected = naive_metrics(hits[user], num_relevant[user], k)
            assert {name: result[f"{name}@{k}"][user] for name in NAMES} == pytest.approx(expected)

    @pytest.mark.parametrize("k", [1, 3, 10, 40])
    def test_ndcg_equals_scikit_learn(self, k):
        random = np.random.default_rng(0)
        relevance = random.random((30, 40)) < 0.2
        relevance[:, 0] = True
        scores = random.normal(size=(30, 40))
        hits = np.take_along_axis(relevance, np.argsort(-scores, axis=1), axis=1)
        result = ranking_metrics(hits, relevance.sum(axis=1), ks=(k,))
        assert result[f"ndcg@{k}"].mean() == pytest.approx(ndcg_score(relevance, scores, k=k), rel=1e-12)

    @given(rankings())
    @settings(max_examples=60, deadline=None)
    def test_bounds_and_growth_with_k(self, ranking):
        hits, num_relevant = ranking
        ks = range(1, hits.shape[1] + 1)
        result = ranking_metrics(hits, num_relevant, ks)
        assert all((values >= 0).all() and (values <= 1).all() for values in result.values())
        for name in ("hr", "recall", "mrr"):
            by_k = np.stack([result[f"{name}@{k}"] for k in ks])
            assert (np.diff(by_k, axis=0) >= 0).all(), name

    @given(st.integers(1, 12), st.integers(1, 12))
    @settings(max_examples=40, deadline=None)
    def test_a_perfect_ranking_scores_1(self, num_ranks, num_relevant):
        hits = np.arange(num_ranks)[None] < num_relevant
        result = ranking_metrics(hits, np.array([num_relevant]), ks=(num_ranks,))
        for name in ("hr", "ndcg", "map", "mrr"):
            assert result[f"{name}@{num_ranks}"].item() == 1.0, name

    @given(rankings(), st.randoms(use_true_random=False))
    @settings(max_examples=30, deadline=None)
    def test_users_do_not_affect_each_other(self, ranking, random):
        hits, num_relevant = ranking
        order = np.array(random.sample(range(len(hits)), len(hits)))
        k = hits.shape[1]
        straight, permuted = (ranking_metrics(hits[o], num_relevant[o], (k,)) for o in (slice(None), order))
        for name, values in straight.items():
            np.testing.assert_array_equal(values[order], permuted[name])

    @given(rankings(), st.data())
    @settings(max_examples=60, deadline=None)
    def test_a_hit_moved_deeper_never_scores_higher(self, ranking, data):
        hits, num_relevant = ranking
        rank = data.draw(st.integers(0, hits.shape[1] - 1))
        deeper = data.draw(st.integers(rank, hits.shape[1] - 1))
        k = data.draw(st.integers(1, hits.shape[1]))
        moved = hits.copy()
        can_move = hits[:, rank] & ~hits[:, deeper]
        moved[can_move, rank], moved[can_move, deeper] = False, True
        before, after = ranking_metrics(hits, num_relevant, (k,)), ranking_metrics(moved, num_relevant, (k,))
        for name in before:
            assert (after[name] <= before[name] + 1e-12).all(), name

    @pytest.mark.parametrize(
        ("hits", "num_relevant", "k", "message"),
        [
            ([[True, False]], [1], 0, "1 to the 2 ranks given. Received: 0"),
            ([[True, False]], [1], 3, "1 to the 2 ranks given. Received: 3"),
            ([[True], [False]], [1, 0], 1, "at least 1 held-out item for every user. Received: 0 in row 1"),
            ([[True], [False]], [1], 1, r"shapes: \(2, 1\), \(1,\)"),
            ([True, False], [1, 1], 1, r"shapes: \(2,\), \(2,\)"),
            ([[False, True], [True, True]], [1, 1], 1, "at most 1 hits in row 1.* Received: 2"),
        ],
    )
    def test_refuses(self, hits, num_relevant, k, message):
        with pytest.raises(UserError, match=message):
            ranking_metrics(np.array(hits), np.array(num_relevant), ks=(k,))
