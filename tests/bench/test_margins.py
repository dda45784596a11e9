"""The gain of a model over another one on the same interactions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from small_benchmark import asking, changed

from zoo.bench.definition import jobs
from zoo.bench.margins import ROWS, margins, save_test_rows
from zoo.evaluation.bootstrap import mean_interval

# Four interactions of two users.
USERS, LABELS = np.array([2, 2, 3, 3]), np.array([1.0, 0.0, 1.0, 0.0])
RIGHT, WRONG = np.array([2.0, 1.0, 2.0, 1.0]), np.array([1.0, 2.0, 1.0, 2.0])


def rows_of(scores, users=USERS, labels=LABELS, **more):
    return {"user": users, "label": labels, "score": np.asarray(scores), **more}


@pytest.fixture
def margins_of(benchmark_of, tmp_path):
    """The margins of `mf-4` over `pop`, after runs that left these rows, by seed."""

    def compare(own, others, least, protocol="labels"):
        benchmark = benchmark_of(changed(**asking(margins={"pop": least}, evaluate={"protocol": protocol})))
        for label, seeds in (("mf-4", own), ("pop", others)):
            for job in jobs(benchmark, only=[label]):
                if job.seed in seeds:
                    folder = tmp_path / "runs" / job.folder
                    folder.mkdir(parents=True)
                    save_test_rows(folder, seeds[job.seed])
                    assert [path.name for path in folder.iterdir()] == [ROWS]
        return {margin.metric: margin for margin in margins(benchmark, tmp_path / "runs", ["pop", "mf-4"])}

    return compare


def test_a_margin_is_the_mean_gain_over_seeds(margins_of):
    # AUC 1 against 0 by seed 0, and 1 against 3 / 4 by seed 1.
    worse = rows_of([2.0, 1.0, 1.5, 1.7])
    found = margins_of({0: rows_of(RIGHT), 1: rows_of(RIGHT)}, {0: rows_of(WRONG), 1: worse}, {"auc": 0.625})
    margin = found["auc"]
    assert (margin.label, margin.other, margin.least, margin.seeds) == ("mf-4", "pop", 0.625, 2)
    assert margin.interval.mean == (1 + 0.25) / 2
    assert margin.verdict == "met"
    # Seed 1 gains nothing for user 2 only, and 1 for user 3 only.
    assert (margin.interval.low, margin.interval.high) == (0.5, 1.0)


def test_a_fall_of_the_log_loss_is_a_gain(margins_of):
    own, others = rows_of([3.0, -3.0, 3.0, -3.0]), rows_of(np.zeros(4))
    expected = np.log(2) - np.log1p(np.exp(-3))
    margin = margins_of({0: own}, {0: others}, {"log_loss": 0.65})["log_loss"]
    assert margin.interval.mean == pytest.approx(expected)
    assert margin.interval.low == margin.interval.high == pytest.approx(expected)
    assert (margin.verdict, margin.is_met, margin.to_json()["met"]) == ("missed", False, False)


def test_a_model_gains_nothing_over_itself(margins_of):
    rng = np.random.default_rng(0)
    users, labels = rng.integers(2, 9, 60), rng.integers(0, 2, 60).astype(float)
    rows = {seed: rows_of(rng.normal(size=60), users, labels, is_cold=np.arange(60) < 30) for seed in (0, 1)}
    found = margins_of(rows, rows, {"auc": 0.0, "log_loss": 0.0, "auc_cold": 0.0, "accuracy": 0.001}, "ctr")
    for margin in found.values():
        assert (margin.interval.mean, margin.interval.low, margin.interval.high) == (0, 0, 0)
    assert {metric: margin.verdict for metric, margin in found.items()} == {
        **{"auc": "met", "log_loss": "met", "auc_cold": "met"},
        "accuracy": "missed",
    }


def test_an_interval_is_that_of_the_differences_of_users(margins_of):
    rng = np.random.default_rng(1)
    users, labels = np.repeat(np.arange(2, 42), 5), rng.integers(0, 2, 200).astype(float)
    signs = 2 * labels - 1
    own, others = rng.normal(size=200), rng.normal(size=200)
    margin = margins_of({0: rows_of(own, users, labels)}, {0: rows_of(others, users, labels)}, {"log_loss": 0.0})[
        "log_loss"
    ]
    # Each user has as many rows, so the mean over rows is one over users.
    by_user = (np.logaddexp(0, -signs * others) - np.logaddexp(0, -signs * own)).reshape(40, 5).mean(axis=1)
    expected = mean_interval(by_user)
    assert dataclasses.astuple(margin.interval) == pytest.approx(dataclasses.astuple(expected))


def test_only_seeds_that_ran_of_both_are_compared(margins_of):
    margin = margins_of({0: rows_of(RIGHT), 1: rows_of(WRONG)}, {0: rows_of(WRONG)}, {"auc": 0.5})["auc"]
    assert (margin.seeds, margin.interval.mean) == (1, 1.0)


@pytest.mark.parametrize("ran", ["own", "others", "neither"])
def test_a_margin_of_a_job_that_did_not_run_says_so(margins_of, ran):
    own, others = ({0: rows_of(RIGHT)} if ran == which else {} for which in ("own", "others"))
    margin = margins_of(own, others, {"auc": 0.0})["auc"]
    assert (margin.verdict, margin.is_met, margin.interval, margin.seeds) == ("not run", None, None, 0)


def test_runs_on_other_interactions_are_not_compared(margins_of):
    others = rows_of(RIGHT, users=np.array([2, 2, 2, 3]))
    assert margins_of({0: rows_of(RIGHT)}, {0: others}, {"auc": 0.0})["auc"].verdict == "other interactions"


def test_a_margin_of_rankings_is_the_mean_gain_over_users(margins_of):
    own, others = np.array([1.0, 0.5, 0.25, 0.0]), np.array([0.5, 0.5, 0.0, 0.25])
    users = np.arange(2, 6)
    rows = [{"user": users, "ndcg@10": values} for values in (own, others)]
    margin = margins_of({0: rows[0]}, {0: rows[1]}, {"ndcg@10": 0.1}, "full-ranking")["ndcg@10"]
    assert dataclasses.astuple(margin.interval) == pytest.approx(dataclasses.astuple(mean_interval(own - others)))
    assert margin.verdict == "met"


def test_rankings_for_other_users_are_not_compared(margins_of):
    rows = [{"user": np.arange(first, first + 3), "ndcg@10": np.ones(3)} for first in (2, 3)]
    margin = margins_of({0: rows[0]}, {0: rows[1]}, {"ndcg@10": 0.0}, "full-ranking")["ndcg@10"]
    assert margin.verdict == "other interactions"


def test_a_metric_that_the_interactions_do_not_give_is_undefined(margins_of):
    rows = rows_of(RIGHT, is_cold=np.array([True, False, False, False]))
    found = margins_of({0: rows}, {0: rows}, {"auc": 0.0, "auc_cold": 0.0}, "ctr")
    assert {metric: margin.verdict for metric, margin in found.items()} == {"auc": "met", "auc_cold": "undefined"}


def test_margins_are_those_of_the_labels_that_are_asked_for(benchmark_of, tmp_path):
    benchmark = benchmark_of(changed(**asking()))
    assert margins(benchmark, tmp_path, ["pop"]) == []
    assert [margin.metric for margin in margins(benchmark, tmp_path, ["mf-4"])] == ["auc"]
