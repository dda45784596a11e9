import doctest
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    ndcg_score,
    roc_auc_score,
    root_mean_squared_error,
)

from zoo.errors import UserError
from zoo.evaluation import metrics
from zoo.evaluation.metrics import (
    hits_of,
    label_metrics,
    label_statistics,
    ranking_metrics,
    rating_metrics,
    rating_statistics,
    row_statistics,
)

NAMES = ("hr", "recall", "precision", "ndcg", "map", "mrr")


@st.composite
def rankings(draw):
    """Hits and held-out counts of a few users, with some held-out items that were not ranked."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 12)))
    hits = draw(arrays.arrays(bool, shape))
    missed = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, 5)))
    return hits, np.maximum(hits.sum(axis=1) + missed, 1)


@st.composite
def labelled_rows(draw):
    """Labels of both kinds, and scores from so few values that ties are common."""
    num_rows = draw(st.integers(2, 30))
    labels = draw(arrays.arrays(np.int64, num_rows, elements=st.integers(0, 1)))
    assume(0 < labels.sum() < num_rows)
    scores = draw(arrays.arrays(np.float64, num_rows, elements=st.integers(-4, 4)))
    return labels, scores / 2


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


def naive_auc(labels, scores, weights):
    won = pairs = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pairs += weights[i] * weights[j]
            won += weights[i] * weights[j] * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
    return won / pairs


def test_the_examples_of_the_docstrings_hold():
    failed, attempted = doctest.testmod(metrics)
    assert attempted
    assert not failed


class TestHitsOf:
    def test_finds_held_out_items_of_the_same_user_only(self):
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

    def test_without_held_out_pairs_nothing_is_a_hit(self):
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


class TestLabelMetrics:
    def test_equals_scikit_learn(self):
        random = np.random.default_rng(1)
        labels = random.integers(0, 2, 500)
        logits = np.round(random.normal(labels, 2.0), 1)
        assert len(np.unique(logits)) < 500, "there must be ties"
        result = label_metrics(labels, logits)
        assert result == pytest.approx(
            {
                "auc": roc_auc_score(labels, logits),
                "log_loss": log_loss(labels, 1 / (1 + np.exp(-logits))),
                "accuracy": accuracy_score(labels, logits > 0),
            },
            rel=1e-12,
        )

    def test_log_loss_of_logits_whose_sigmoid_saturates(self):
        with np.errstate(over="raise", invalid="raise"):
            assert label_metrics(np.array([0, 1]), np.array([1000.0, -500.0]))["log_loss"] == 750.0
            right = label_metrics(np.array([1, 0]), np.array([40.0, -40.0]))["log_loss"]
        assert right == pytest.approx(math.exp(-40), rel=1e-9)

    @given(labelled_rows())
    @settings(max_examples=40, deadline=None)
    def test_auc_with_unit_weights_equals_scikit_learn(self, rows):
        labels, scores = rows
        auc = label_statistics(labels, scores)["auc"](np.ones(len(labels)))
        assert auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)

    @given(labelled_rows(), st.data())
    @settings(max_examples=60, deadline=None)
    def test_integer_weights_equal_row_repetition(self, rows, data):
        labels, scores = rows
        weights = data.draw(arrays.arrays(np.int64, len(labels), elements=st.integers(0, 3)))
        repeated = np.repeat(labels, weights)
        assume(0 < repeated.sum() < len(repeated))
        expected = label_metrics(repeated, np.repeat(scores, weights))
        statistics = label_statistics(labels, scores)
        weighted = {name: statistic(weights) for name, statistic in statistics.items()}
        assert weighted == pytest.approx(expected, abs=1e-12)

    @given(labelled_rows(), st.data())
    @settings(max_examples=40, deadline=None)
    def test_auc_with_any_weights_equals_counting_pairs(self, rows, data):
        labels, scores = rows
        weights = data.draw(arrays.arrays(np.float64, len(labels), elements=st.floats(0.25, 8.0)))
        auc = label_statistics(labels, scores)["auc"](weights)
        assert auc == pytest.approx(naive_auc(labels, scores, weights), abs=1e-12)

    @pytest.mark.parametrize("label", [0, 1])
    def test_auc_is_left_out_for_one_class(self, label):
        assert list(label_metrics(np.full(3, label), np.arange(3.0))) == ["log_loss", "accuracy"]

    def test_auc_is_nan_for_weights_that_leave_one_class(self):
        auc = label_statistics(np.array([0, 1, 1]), np.arange(3.0))["auc"]
        with np.errstate(all="raise"):
            assert math.isnan(auc(np.array([0, 2, 1])))
            assert math.isnan(auc(np.array([3, 0, 0])))

    def test_accuracy_takes_a_probability_of_exactly_a_half_for_0(self):
        assert label_metrics(np.array([0, 1]), np.zeros(2))["accuracy"] == 0.5
        accuracy = label_statistics(np.array([0, 1, 1]), np.array([-1.0, 2.0, -3.0]))["accuracy"]
        assert accuracy(np.array([1, 1, 2])) == 0.5

    @given(labelled_rows(), st.data())
    @settings(max_examples=40, deadline=None)
    def test_auc_of_cold_rows_is_the_auc_of_these_alone(self, rows, data):
        labels, scores = rows
        is_cold = data.draw(arrays.arrays(bool, len(labels)))
        weights = data.draw(arrays.arrays(np.float64, len(labels), elements=st.floats(0.25, 8.0)))
        statistics = label_statistics(labels, scores, is_cold)
        if not 0 < labels[is_cold].sum() < is_cold.sum():
            assert "auc_cold" not in statistics
            return
        expected = naive_auc(labels[is_cold], scores[is_cold], weights[is_cold])
        assert statistics["auc_cold"](weights) == pytest.approx(expected, abs=1e-12)
        whole = label_statistics(labels, scores)
        assert "auc_cold" not in whole
        assert statistics["auc"](weights) == whole["auc"](weights)

    def test_auc_of_cold_rows_is_nan_for_weights_that_leave_one_class(self):
        is_cold = np.array([True, True, False, False])
        auc_cold = label_statistics(np.array([0, 1, 0, 1]), np.arange(4.0), is_cold)["auc_cold"]
        assert auc_cold(np.ones(4)) == 1
        assert math.isnan(auc_cold(np.array([0, 1, 1, 1])))

    def test_statistics_of_rows_are_those_of_the_protocol(self):
        rows = {"label": np.array([0.0, 1.0]), "score": np.array([0.5, -1.0]), "user": np.array([2, 3])}
        assert set(row_statistics("labels", rows)) == {"auc", "log_loss", "accuracy"}
        cold = {**rows, "is_cold": np.array([True, True])}
        assert set(row_statistics("ctr", cold)) == {"auc", "log_loss", "accuracy", "auc_cold"}
        assert row_statistics("ratings", rows)["mae"](np.ones(2)) == (0.5 + 2.0) / 2

    @pytest.mark.parametrize(
        ("labels", "logits", "message"),
        [
            ([0, 1, 4], [0.0, 0.0, 0.0], "0 or 1. Received: 4"),
            ([0, 1], [0.0, math.nan], "finite scores. Received: nan in row 1"),
            ([math.inf, 1], [0.0, 0.0], "finite labels. Received: inf in row 0"),
            ([0, 1], [0.0], r"shapes: \(2,\), \(1,\)"),
            ([[0, 1]], [[0.0, 1.0]], r"shapes: \(1, 2\), \(1, 2\)"),
            ([], [], "at least 1 row"),
        ],
    )
    def test_refuses(self, labels, logits, message):
        with pytest.raises(UserError, match=message):
            label_metrics(np.array(labels), np.array(logits))


class TestRatingMetrics:
    def test_by_hand(self):
        result = rating_metrics(np.array([1, 4, 5]), np.array([3.0, 4.0, 4.0]))
        assert result == pytest.approx({"rmse": math.sqrt(5 / 3), "mae": 1.0})

    def test_equals_scikit_learn_also_with_weights(self):
        random = np.random.default_rng(2)
        labels, predictions = random.integers(1, 6, 100), random.normal(3, 1, 100)
        weights = random.integers(0, 4, 100)
        for name, expected in (("rmse", root_mean_squared_error), ("mae", mean_absolute_error)):
            weighted = rating_statistics(labels, predictions)[name](weights)
            assert weighted == pytest.approx(expected(labels, predictions, sample_weight=weights)), name

    def test_float32_and_integer_inputs_are_widened_first(self):
        labels = np.array([5, 0], dtype=np.uint8)
        assert rating_metrics(labels, np.array([1, 1], dtype=np.uint8))["mae"] == 2.5

    def test_refuses_values_that_are_not_finite(self):
        with pytest.raises(UserError, match="finite scores"):
            rating_metrics(np.array([1.0]), np.array([np.inf]))
