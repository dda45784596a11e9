"""The server joins requests; the client's answers are the same as if it had not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tf_server import SERVERS, Refused, filled_up
from toy_model import ITEMS, PADDING, padded_query, query, toy_endpoints

from export.serving import Client
from export.serving.transports import predict_request


def sent(client, served, *calls):
    """The requests that calls of the client make."""
    del served.requests[:]
    for call in calls:
        call(client)
    return list(served.requests)


def test_the_server_fills_lists_up_with_the_first_value_of_a_request(served):
    """The trap that the client avoids: an item of the first row is excluded in the second one too."""
    feeds = [{**padded_query(2), "exclude": np.array([[10], [20]]), "candidates": np.full((2, 1), PADDING)}]
    feeds.append({**padded_query(1), "exclude": np.array([[30, 20]]), "candidates": np.full((1, 1), PADDING)})
    first, _ = served.run_joined([make_request(feed) for feed in feeds])
    assert served.run("recommend", feeds[0])["items"].tolist()[1] == [10, 30, ITEMS[3]]
    assert first["items"].tolist()[1] == [30, ITEMS[3], PADDING]


def test_the_server_cannot_join_a_list_of_no_values_with_others(served):
    feeds = [{**padded_query(1), "exclude": np.zeros((1, n), np.int64), "candidates": [[PADDING]]} for n in (0, 2)]
    with pytest.raises(Refused, match="empty tensor"):
        served.run_joined([make_request(feed) for feed in feeds])


def make_request(feed):
    dtypes = {info.name: info.dtype for info in toy_endpoints()[0].inputs}
    arrays = {key: np.asarray(value) for key, value in feed.items()}
    return predict_request("toy", "recommend", dtypes, arrays)


LISTS = st.lists(st.lists(st.sampled_from([*ITEMS, 99]), max_size=3), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(LISTS, st.booleans()), min_size=2, max_size=3))
@example([([[10], [20]], False), ([[30, 20]], False)])
@example([([[10], []], True), ([[20, 30]], True)])
@example([([[], []], True), ([[20]], False)])
def test_requests_of_the_client_have_the_same_answers_joined_or_single(client, served, cases):
    answers = []

    def ask(lists, are_candidates):
        others = {"candidates" if are_candidates else "exclude": lists}
        answers.append(client.recommend(query(len(lists)), **others))

    requests = sent(client, served, *(lambda _, case=case: ask(*case) for case in cases))
    for answer, joined in zip(answers, served.run_joined(requests), strict=True):
        np.testing.assert_array_equal(answer.items, joined["items"])
        np.testing.assert_array_equal(answer.scores, joined["scores"])


@pytest.mark.parametrize("scheme", SERVERS)
def test_columns_that_the_server_filled_up_are_cut_off(served, scheme, monkeypatch):
    """A joined request has an answer with more columns than one call asked for."""
    wider = make_wider(served.run, {"exclude": 4, "candidates": 5, "items": 6})
    monkeypatch.setattr(served, "run", wider)
    with SERVERS[scheme](served) as address, Client(address, toy_endpoints(), "toy") as client:
        best = client.recommend(query(2), exclude=[[10], [99, 20]])
        assert best.items.tolist() == [[20, 30, ITEMS[3]], [10, 30, ITEMS[3]]]
        assert best.unknown["exclude"].tolist() == [[False, False], [True, False]]
        assert best.unknown["candidates"].shape == (2, 0)
        answer = client.score(query(2), [[10], [99]])
        assert answer.scores.tolist() == [[10], [99]]
        assert answer.unknown["items"].tolist() == [[False], [True]]


def make_wider(run, widths):
    def run_wider(signature, feed):
        feed = dict(feed)
        for name, width in widths.items():
            if name in feed and feed[name].ndim == 2:
                feed[name], _ = filled_up([feed[name], np.zeros((1, width), feed[name].dtype)])
        return run(signature, feed)

    return run_wider
