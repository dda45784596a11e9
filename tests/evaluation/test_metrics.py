from __future__ import annotations

import pytest

from zoo.errors import UserError
from zoo.evaluation.metrics import METRICS, gain


@pytest.mark.parametrize(
    ("metric", "sign"), [("ndcg@10", 1), ("auc", 1), ("rmse", -1), ("mae", -1), ("log_loss", -1), ("loss", -1)]
)
def test_a_fall_of_errors_is_a_gain(metric, sign):
    assert gain(metric, 0.75, 0.5) == sign * 0.25


def test_the_gain_of_an_unknown_metric_is_refused_with_the_near_names():
    with pytest.raises(UserError, match=r"Unknown metric 'ndgc'\. Did you mean 'ndcg'"):
        gain("ndgc@10", 0.75, 0.5)


def test_every_metric_says_its_formula():
    assert all(len(metric.formula) > 20 for metric in METRICS.values())
