import dataclasses
import doctest
import math

import numpy as np
import pytest

from zoo.errors import UserError
from zoo.evaluation import bootstrap
from zoo.evaluation.bootstrap import Interval, cluster_interval, difference_interval, mean_interval, mean_intervals
from zoo.evaluation.figures import row_statistics


def statistic_of(kind, metric, labels, scores):
    return row_statistics(kind, {"label": labels, "score": scores})[metric]


def test_the_examples_of_the_docstrings_hold():
    failed, attempted = doctest.testmod(bootstrap)
    assert attempted
    assert not failed


def test_an_interval_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Interval(0.5, 0.4, 0.6, 0.95).mean = 1.0


class TestMeanInterval:
    @pytest.mark.parametrize(("level", "z"), [(0.95, 1.95996), (0.8, 1.28155)])
    def test_agrees_with_the_normal_theory(self, level, z):
        values = np.random.default_rng(3).normal(2.0, 1.0, 400)
        interval = mean_interval(values, resamples=4000, level=level)
        half_width = z * values.std() / math.sqrt(len(values))
        assert interval.mean == pytest.approx(values.mean(), rel=1e-12)
        assert interval.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
        assert interval.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)
        assert interval.level == level

    def test_covers_the_truth_as_often_as_its_level_says(self):
        random = np.random.default_rng(4)
        samples = random.exponential(size=(300, 60))
        intervals = [mean_interval(sample, resamples=200, level=0.8) for sample in samples]
        covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
        # The bounds are three standard errors of a share of 300. The percentile method covers a little too little.
        assert 0.71 <= covered <= 0.87

    def test_the_seed_decides(self):
        values = np.random.default_rng(5).random(50)
        assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
        assert mean_interval(values, seed=1) != mean_interval(values, seed=2)

    def test_the_same_users_are_drawn_for_every_metric(self):
        values = np.random.default_rng(6).random(50)
        one, other = mean_interval(values), mean_interval(3 * values + 1)
        assert (other.low, other.high) == pytest.approx((3 * one.low + 1, 3 * one.high + 1))

    def test_one_user_has_no_spread(self):
        assert mean_interval(np.array([0.3])) == Interval(0.3, 0.3, 0.3, 0.95)

    @pytest.mark.parametrize(
        ("values", "settings", "message"),
        [
            ([], {}, "at least 1 value"),
            ([0.1, math.nan], {}, "finite values"),
            ([[0.1, 0.2]], {}, r"shape \(1, 2\)"),
            ([0.1], {"resamples": 0}, "Received: 0, 0.95"),
            ([0.1], {"level": 1.0}, "Received: 1000, 1.0"),
            ([0.1], {"level": 0.0}, "Received: 1000, 0.0"),
        ],
    )
    def test_refuses(self, values, settings, message):
        with pytest.raises(UserError, match=message):
            mean_interval(np.array(values), **settings)


class TestMeanIntervals:
    def test_equal_drawing_users_one_resample_at_a_time(self):
        metrics = dict(zip("abc", np.random.default_rng(13).random((3, 90)), strict=True))
        random = np.random.default_rng(5)
        means = []
        for _ in range(400):
            drawn = random.integers(90, size=90)
            means.append([values[drawn].mean() for values in metrics.values()])
        low, high = np.quantile(means, [0.05, 0.95], axis=0)
        intervals = mean_intervals(metrics, resamples=400, level=0.9, seed=5)
        assert list(intervals) == list(metrics)
        for index, (name, interval) in enumerate(intervals.items()):
            expected = (metrics[name].mean(), low[index], high[index], 0.9)
            assert dataclasses.astuple(interval) == pytest.approx(expected, rel=1e-12)

    def test_are_those_of_each_metric_by_itself(self):
        metrics = dict(zip("ab", np.random.default_rng(14).random((2, 70)), strict=True))
        for name, interval in mean_intervals(metrics, seed=3).items():
            separate = mean_interval(metrics[name], seed=3)
            assert dataclasses.astuple(interval) == pytest.approx(dataclasses.astuple(separate), rel=1e-12)

    def test_do_not_depend_on_how_many_draws_are_in_memory(self, monkeypatch):
        metrics = {"a": np.random.default_rng(15).random(30)}
        expected = dataclasses.astuple(mean_intervals(metrics, resamples=50)["a"])
        for at_once in (1, 31, 30 * 50):
            monkeypatch.setattr(bootstrap, "COUNTS_AT_ONCE", at_once)
            got = dataclasses.astuple(mean_intervals(metrics, resamples=50)["a"])
            assert got == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(
        ("metrics", "message"),
        [
            ({}, r"same users. Received shapes: \[\]"),
            ({"a": [0.1], "b": [0.1, 0.2]}, r"same users. Received shapes: \[\(1,\), \(2,\)\]"),
            ({"a": [0.1, 0.2], "b": [0.1, math.inf]}, "finite values"),
            ({"a": []}, "at least 1 value"),
        ],
    )
    def test_refuse(self, metrics, message):
        with pytest.raises(UserError, match=message):
            mean_intervals(metrics)


class TestDifferenceInterval:
    def test_tells_runs_apart_that_separate_intervals_do_not(self):
        random = np.random.default_rng(7)
        b = random.random(300)
        a = b + 0.02 + random.normal(0, 0.02, 300)
        difference = difference_interval(a, b)
        assert difference.mean == pytest.approx(a.mean() - b.mean())
        assert 0 < difference.low < difference.mean < difference.high < 0.03
        assert mean_interval(a).low < mean_interval(b).high

    def test_runs_swapped_turn_the_sign(self):
        a, b = np.random.default_rng(8).random((2, 40))
        forth, back = difference_interval(a, b), difference_interval(b, a)
        assert (forth.mean, forth.low, forth.high) == pytest.approx((-back.mean, -back.high, -back.low))

    def test_refuses_different_lengths(self):
        with pytest.raises(UserError, match=r"same users. Received shapes: \(2,\), \(1,\)"):
            difference_interval(np.array([0.1, 0.2]), np.array([0.1]))


class TestClusterInterval:
    def test_equals_the_mean_interval_where_every_user_has_one_row(self):
        random = np.random.default_rng(9)
        labels, predictions = random.normal(size=(2, 80))
        mae = statistic_of("ratings", "mae", labels, predictions)
        by_row, by_user = cluster_interval(mae, np.arange(80)), mean_interval(np.abs(labels - predictions))
        assert dataclasses.astuple(by_row) == pytest.approx(dataclasses.astuple(by_user))

    @pytest.mark.parametrize("name", ["rmse", "mae"])
    def test_sums_by_user_give_what_weighing_every_row_gives(self, name):
        random = np.random.default_rng(16)
        labels, predictions, groups = *random.normal(size=(2, 300)), random.integers(0, 25, 300)
        statistic = statistic_of("ratings", name, labels, predictions)
        by_sums, by_rows = (
            cluster_interval(function, groups, resamples=200, seed=2)
            for function in (statistic, lambda weights: statistic(weights))
        )
        assert dataclasses.astuple(by_sums) == pytest.approx(dataclasses.astuple(by_rows), rel=1e-12)

    def test_rows_of_one_user_are_drawn_together(self):
        # Each user's rows are copies, so ten times the rows must not narrow the interval.
        errors = np.random.default_rng(10).normal(size=60)
        groups = np.array([f"user {user}" for user in range(60)])
        rmse = statistic_of("ratings", "rmse", np.zeros(60), errors)
        rmse_of_copies = statistic_of("ratings", "rmse", np.zeros(600), np.repeat(errors, 10))
        once = cluster_interval(rmse, groups)
        copied = cluster_interval(rmse_of_copies, np.repeat(groups, 10))
        assert dataclasses.astuple(copied) == pytest.approx(dataclasses.astuple(once))
        as_if_independent = cluster_interval(rmse_of_copies, np.arange(600))
        assert as_if_independent.high - as_if_independent.low < 0.5 * (once.high - once.low)

    def test_the_order_of_the_rows_does_not_matter(self):
        random = np.random.default_rng(11)
        labels, scores, groups = random.integers(0, 2, 90), random.normal(size=90), random.integers(0, 12, 90)
        order = random.permutation(90)
        straight = cluster_interval(statistic_of("labels", "auc", labels, scores), groups, resamples=50)
        permuted = cluster_interval(
            statistic_of("labels", "auc", labels[order], scores[order]), groups[order], resamples=50
        )
        assert dataclasses.astuple(permuted) == pytest.approx(dataclasses.astuple(straight))

    def test_auc_interval_agrees_with_drawing_rows_by_hand(self):
        random = np.random.default_rng(12)
        groups = random.integers(0, 40, 800)
        labels = random.integers(0, 2, 800)
        scores = labels + random.normal(size=40)[groups] + random.normal(size=800)
        interval = cluster_interval(statistic_of("labels", "auc", labels, scores), groups, resamples=1000)

        rows_of = [np.flatnonzero(groups == user) for user in range(40)]
        aucs = []
        for _ in range(1000):
            rows = np.concatenate([rows_of[user] for user in random.integers(0, 40, 40)])
            positives, negatives = scores[rows][labels[rows] == 1], scores[rows][labels[rows] == 0]
            aucs.append((positives[:, None] > negatives).mean())
        width = np.quantile(aucs, 0.975) - np.quantile(aucs, 0.025)
        assert interval.low == pytest.approx(np.quantile(aucs, 0.025), abs=0.15 * width)
        assert interval.high == pytest.approx(np.quantile(aucs, 0.975), abs=0.15 * width)

    def test_resamples_without_an_auc_are_left_out(self):
        auc = statistic_of("labels", "auc", np.array([0, 1]), np.array([0.0, 1.0]))
        assert cluster_interval(auc, np.array([0, 1])) == Interval(1.0, 1.0, 1.0, 0.95)

    def test_refuses_a_metric_that_is_undefined(self):
        with pytest.raises(UserError, match="undefined"):
            cluster_interval(lambda weights: math.nan, np.arange(3))

    def test_refuses_groups_of_two_dimensions(self):
        with pytest.raises(UserError, match=r"user of each row, in one dimension. Received shape: \(1, 2\)"):
            cluster_interval(np.sum, np.array([[1, 2]]))

    def test_refuses_no_rows(self):
        with pytest.raises(UserError, match="at least 1 value"):
            cluster_interval(np.sum, np.array([]))
