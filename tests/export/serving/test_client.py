"""The client gives what the model answers, whatever the form of a query."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from served_bundle import bundle_of, samples_of, served_by
from tf_server import SERVERS, rest_server
from toy_model import ITEMS, LOWEST, PADDING, query, toy_endpoints

from export.serving import Client, ServerError


@pytest.mark.parametrize("scheme", SERVERS)
def test_the_client_gets_what_the_model_answers(exported, scheme):
    served, samples = served_by(exported), samples_of(exported, 7)
    with SERVERS[scheme](served) as address, Client(address, bundle_of(exported)) as client:
        for endpoint in exported.endpoints:
            feed = dict(samples[endpoint.name])
            expected = served.run(endpoint.name, feed)
            others = {key: feed.pop(key) for key in ("exclude", "candidates", "items") if key in feed}
            answer = getattr(client, endpoint.name)(*([feed] if feed else []), **others)
            for info in endpoint.outputs:
                if info.name.startswith("unknown_"):
                    found, values = answer.unknown[info.name.removeprefix("unknown_")], expected[info.name] == 1
                else:
                    found, values = getattr(answer, info.name), expected[info.name]
                if endpoint.name == "score" and info.name == "scores":
                    (items,) = [each for each in endpoint.inputs if each.name == "items"]
                    values = np.where(others["items"] == items.padding, np.nan, values)
                if info.dtype == "float32":
                    np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(found, values)


def test_lists_of_different_lengths_are_padded_by_the_client(client):
    best = client.recommend(
        query(3, weight=[0.0, 1.0, -1.0]),
        exclude=[[10], [], [20, 99, 30]],
        candidates=[[], [ITEMS[3], 20], [30, 10]],
    )
    assert best.items.tolist() == [[20, 30, ITEMS[3]], [20, ITEMS[3], PADDING], [10, PADDING, PADDING]]
    assert best.items.dtype == np.int64
    np.testing.assert_array_equal(best.scores, np.float32([[3, 2, 1], [4, 2, LOWEST], [3, LOWEST, LOWEST]]))
    assert best.unknown["exclude"].tolist() == [[False, False, False], [False, False, False], [False, True, False]]
    assert not best.unknown["candidates"].any()
    assert best.unknown["candidates"].shape == (3, 2)


def test_histories_are_padded_in_front_and_keep_their_last_events(client):
    histories = [[1, 2, 3, 4], [7], []]
    ratings = [[0.1, 0.2, 0.3, 0.4], [0.5], []]
    vectors = client.embed_query(query(3, history=histories, history_rating=ratings)).vectors
    expected = [[2 + 30 + 400, 0.2 + 3 + 40], [700 - 11, 50], [-111, 0]]
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_other_lists_are_padded_behind(client):
    found = client.embed_query(query(2, genres=[["opera"], ["love", "war"]])).unknown["genres"]
    assert found.tolist() == [[True, False], [False, False]]


def test_a_smaller_k_is_a_slice(client):
    best = client.recommend(query(2), k=2)
    assert best.items.tolist() == [[10, 20], [10, 20]]
    assert best.scores.tolist() == [[4, 3], [4, 3]]


def test_a_list_of_items_to_score_may_be_shorter_than_another(client):
    answer = client.score(query(3), [[10, 20], [], [30, 99]])
    np.testing.assert_array_equal(answer.scores, [[10, 20], [np.nan, np.nan], [30, 99]])
    assert answer.unknown["items"].tolist() == [[False, False], [False, False], [False, True]]


def test_no_items_at_all_have_no_scores(client):
    assert client.score(query(2), [[], []]).scores.shape == (2, 0)


def test_items_have_vectors_and_unknown_items_are_marked(client):
    answer = client.embed_items([10, 99])
    assert answer.vectors.tolist() == [[10, -10], [99, -99]]
    assert answer.unknown["items"].tolist() == [False, True]


def test_unknown_users_are_marked(client):
    assert client.recommend(query(2, user=["ann", "Ann 😀"])).unknown["user"].tolist() == [False, True]


def test_integers_keep_all_their_digits(client):
    assert client.recommend(query(), candidates=[[2**60 + 1]]).items.tolist() == [[2**60 + 1, PADDING, PADDING]]
    assert client.recommend(query(), candidates=[[2**60]]).items.tolist() == [[PADDING] * 3]


def test_a_number_that_is_not_known_is_sent_as_nan(client):
    assert np.isnan(client.score(query(weight=[float("nan")]), [[10]]).scores).all()


def test_a_large_whole_number_is_legal_as_a_float(client):
    assert client.score(query(weight=[2**30]), [[0]]).scores.tolist() == [[2**30]]


@pytest.mark.parametrize("kind", ["lists", "arrays", "columns", "frame"])
def test_lists_arrays_and_pandas_columns_are_the_same(client, kind):
    columns = query(2, user=["ann", "zoe"], weight=[0.5, 2])
    items = [[10, 20], [30, 20]]
    if kind == "arrays":
        columns = {k: np.array(v, object if k in ("user", "genres") else None) for k, v in columns.items()}
        columns["history"] = columns["history"].astype(np.int64)
        items = np.array(items)
    elif kind == "columns":
        columns = {k: pd.Series(v) for k, v in columns.items()}
        items = pd.Series([np.array(row) for row in items])
    elif kind == "frame":
        columns = pd.DataFrame(columns)
    answer = client.score(columns, items)
    assert answer.scores.tolist() == [[10.5, 20.5], [32, 22]]
    assert answer.unknown["user"].tolist() == [False, True]


def test_more_queries_than_a_batch_of_the_server_go_in_parts(client, served):
    weights = np.arange(130, dtype=np.float32)
    answer = client.score(query(130, weight=weights), [[int(i)] * (i % 3) for i in range(130)])
    assert [len(tf.make_ndarray(request.inputs["weight"])) for request in served.requests] == [64, 64, 2]
    expected = [[2 * i if i % 3 > j else np.nan for j in range(2)] for i in range(130)]
    np.testing.assert_array_equal(answer.scores, expected)


def test_the_version_that_is_asked_answers(served):
    for name, start in SERVERS.items():
        with start(served) as address, Client(address, toy_endpoints(), "toy", version=1) as client:
            assert len(client.recommend(query()).items) == 1, name
        with start(served) as address, pytest.raises(ServerError, match="Servable not found"):
            Client(address, toy_endpoints(), "toy", version=2).recommend(query())


def test_a_client_is_made_from_a_bundle_its_manifest_or_its_endpoints(exported):
    served, samples = served_by(exported), samples_of(exported, 1)["embed_items"]
    manifest = bundle_of(exported) / "manifest.json"
    with rest_server(served) as address:
        for described in (bundle_of(exported), str(manifest), json.loads(manifest.read_text())):
            assert Client(address, described).embed_items(samples["items"]).vectors.ndim == 2
        assert Client(address, exported.endpoints, served.name).embed_items(samples["items"]).vectors.ndim == 2


def test_a_client_over_rest_does_not_import_tensorflow(exported):
    code = (
        "import sys\nfrom export.serving import Client\n"
        f"Client('http://localhost:1', {str(bundle_of(exported))!r})\nassert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
