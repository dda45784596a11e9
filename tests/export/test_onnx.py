"""The ONNX files are valid, standard, and take and give raw ids."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

FILES = [(bundle, endpoint) for bundle in ("bundle", "features_bundle") for endpoint in ("recommend", "score")]
AWKWARD = ("a,b", 'say "hi"', "it's", "😀", "007", "7", "1e5", "NA", "日本", "é", "back\\slash")


@pytest.fixture(params=FILES, ids=lambda param: "-".join(param))
def path(request):
    name, endpoint = request.param
    return request.getfixturevalue(name).folder / "onnx" / f"{endpoint}.onnx"


@pytest.fixture(scope="module")
def session(bundle):
    return onnxruntime.InferenceSession(bundle.folder / "onnx" / "recommend.onnx")


@pytest.fixture(scope="module")
def features_session(features_bundle):
    return onnxruntime.InferenceSession(features_bundle.folder / "onnx" / "recommend.onnx")


def padding(session, number: int = 1) -> dict[str, np.ndarray]:
    """Inputs that say nothing."""
    fillers = {
        "tensor(string)": ("", object),
        "tensor(int64)": (-1, np.int64),
        "tensor(float)": (0, np.float32),
    }
    return {
        value.name: np.full(
            (number, *(size if isinstance(size, int) else 1 for size in value.shape[1:])),
            *fillers[value.type],
        )
        for value in session.get_inputs()
    }


def test_the_full_checker_passes(path):
    onnx.checker.check_model(onnx.load(path), full_check=True)


def test_all_operators_are_standard(path):
    model = onnx.load(path)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}
    assert {opset.domain for opset in model.opset_import} == {"", "ai.onnx.ml"}
    assert not model.functions


def test_no_operator_set_is_named_twice(path):
    domains = [opset.domain for opset in onnx.load(path).opset_import]
    assert sorted(domains) == sorted(set(domains))


def test_sizes_that_are_free_have_names_and_the_batch_one_name(path):
    graph = onnx.load(path).graph
    shapes = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.input]
    assert {shape[0] for shape in shapes} == {"batch"}
    lists = [shape[1] for shape in shapes if len(shape) > 1 and isinstance(shape[1], str)]
    assert len(lists) == len(set(lists)) > 0


@pytest.mark.parametrize("item", AWKWARD)
def test_string_ids_go_in_and_come_out_as_they_are(session, item):
    candidates = np.array([[item, "item 3"]], object)
    items, _ = session.run(None, {**padding(session), "candidates": candidates})
    assert set(items[0, :2]) == {item, "item 3"}
    left = {"candidates": candidates, "exclude": np.array([[item]], object)}
    items, _ = session.run(None, {**padding(session), **left})
    assert items[0, :2].tolist() == ["item 3", ""]


@pytest.mark.parametrize("user", [*AWKWARD, "user 3"])
def test_string_users_are_told_apart(session, run, user):
    index = run.dataset.vocabularies["user"].index([user])
    assert index[0] > 1
    _, scores = session.run(None, {**padding(session), "user": np.array([user], object)})
    _, expected = run.model.recommend({"user": index}, 20)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_integer_ids_stay_integers(features_session, features_run):
    types = {value.name: value.type for value in features_session.get_inputs()}
    assert types["exclude"] == types["candidates"] == types["history"] == "tensor(int64)"
    assert types["user"] == "tensor(string)"
    assert types["age"] == "tensor(float)"
    items = features_session.run(["items"], padding(features_session))[0]
    assert items.dtype == np.int64
    assert sorted(items[0].tolist()) == features_run.dataset.vocabularies["item"].to_json()


@pytest.mark.parametrize("item", [10**12, -7, 0, 99])
def test_unknown_integer_ids_are_legal(features_session, item):
    ids = np.full((1, 2), item, np.int64)
    plain = features_session.run(["items"], padding(features_session))[0]
    excluded = features_session.run(["items"], {**padding(features_session), "exclude": ids})[0]
    np.testing.assert_array_equal(excluded, plain)
    none = features_session.run(["items"], {**padding(features_session), "candidates": ids})[0]
    assert set(none[0].tolist()) == {-1}


@pytest.mark.parametrize("number", [1, 2, 33])
def test_any_batch_size_gives_each_query_its_own_answer(session, run, number):
    users = np.resize(np.array(run.dataset.vocabularies["user"].to_json(), object), number)
    items, scores = session.run(None, {**padding(session, number), "user": users})
    assert items.shape == scores.shape == (number, 20)
    _, expected = run.model.recommend({"user": run.dataset.vocabularies["user"].index(users)}, 20)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_an_item_listed_many_times_is_excluded_once(session):
    first = session.run(["items"], padding(session))[0][0]
    for times in (2, 40):
        exclude = np.array([[first[0]] * times], object)
        items = session.run(["items"], {**padding(session), "exclude": exclude})[0][0]
        assert items.tolist() == [*first[1:], ""]
