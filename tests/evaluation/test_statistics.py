from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error

from zoo.errors import UserError
from zoo.evaluation import statistics
from zoo.evaluation.figures import row_metrics, row_statistics
from zoo.evaluation.protocols import PROTOCOLS


def label_statistics(labels, logits, is_cold=None):
    further = {} if is_cold is None else {"is_cold": is_cold}
    return row_statistics("labels", {"label": labels, "score": logits, **further})


def label_metrics(labels, logits):
    return row_metrics("labels", {"label": labels, "score": logits})


def rating_statistics(labels, predictions):
    return row_statistics("ratings", {"label": labels, "score": predictions})


def rating_metrics(labels, predictions):
    return row_metrics("ratings", {"label": labels, "score": predictions})


@st.composite
def labelled_rows(draw):
    """Labels of both kinds, and scores from so few values that ties are common."""
    num_rows = draw(st.integers(2, 30))
    labels = draw(arrays.arrays(np.int64, num_rows, elements=st.integers(0, 1)))
    assume(0 < labels.sum() < num_rows)
    scores = draw(arrays.arrays(np.float64, num_rows, elements=st.integers(-4, 4)))
    return labels, scores / 2


def naive_auc(labels, scores, weights):
    won = pairs = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pairs += weights[i] * weights[j]
            won += weights[i] * weights[j] * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
    return won / pairs


def test_the_examples_of_the_docstrings_hold():
    failed, attempted = doctest.testmod(statistics)
    assert attempted
    assert not failed


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
    def test_auc_of_cold_rows_is_the_auc_of_only_these(self, rows, data):
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
        assert set(PROTOCOLS["labels"].statistics(rows)) == {"auc", "log_loss", "accuracy"}
        cold = {**rows, "is_cold": np.array([True, True])}
        assert set(PROTOCOLS["ctr"].statistics(cold)) == {"auc", "log_loss", "accuracy", "auc_cold"}
        assert PROTOCOLS["ratings"].statistics(rows)["mae"](np.ones(2)) == (0.5 + 2.0) / 2

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
