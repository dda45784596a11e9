from __future__ import annotations

import pytest

from zoo.errors import UserError
from zoo.evaluation.figures import HEADLINE, METRICS, gain, is_headline, is_of_rows, metric_names
from zoo.evaluation.protocols import PROTOCOLS


def test_every_protocol_has_metrics_and_a_headline_among_them():
    assert set(METRICS) == set(PROTOCOLS) == set(HEADLINE)
    for protocol, metrics in METRICS.items():
        assert HEADLINE[protocol] in metrics
        assert any(is_headline(protocol, name) for name in metric_names(protocol, ks=(7,)))


def test_ranking_metrics_are_cut_and_others_are_not():
    names = ["hr", "recall", "precision", "ndcg", "map", "mrr"]
    assert metric_names("sampled-ranking", ks=(5, 10)) == [f"{name}@{k}" for k in (5, 10) for name in names]
    assert metric_names("labels", ks=(5, 10)) == ["log_loss", "auc", "accuracy"]
    assert metric_names("ctr", ks=(5, 10)) == ["log_loss", "auc", "accuracy", "auc_cold"]
    with pytest.raises(UserError, match=r"Unknown protocol 'rating'\. Did you mean 'ratings'"):
        metric_names("rating", ks=(5,))


def test_protocols_ask_about_rankings_or_about_single_interactions():
    assert {name for name in METRICS if is_of_rows(name)} == {"ctr", "labels", "ratings"}


@pytest.mark.parametrize(("metric", "sign"), [("ndcg@10", 1), ("auc", 1), ("rmse", -1), ("mae", -1), ("log_loss", -1)])
def test_of_errors_less_is_a_gain(metric, sign):
    assert gain(metric, 0.75, 0.5) == sign * 0.25
