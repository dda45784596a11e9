"""The ONNX files are valid, standard, and take and give raw ids."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from export.endpoints import EndpointGraphs
from export.formats.onnx import conversion, folding, saving, writer
from export.formats.onnx.opsets import LATEST_OPSET, OLDEST_OPSET
from export.formats.onnx.runtime import OnnxRuntime
from export.verification.reference import KerasRuntime
from zoo.errors import UserError

ENDPOINTS = ("recommend", "score", "embed_query", "embed_items")
FILES = [(bundle, endpoint) for bundle in ("bundle", "features_bundle") for endpoint in ENDPOINTS]
AWKWARD = ("a,b", 'say "hi"', "it's", "😀", "007", "7", "1e5", "NA", "日本", "é", "back\\slash")
# One architecture of each family.
FAMILIES = ("mf", "ncf", "ease")


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
    assert len(lists) == len(set(lists))


@pytest.mark.parametrize("item", AWKWARD)
def test_string_ids_go_in_and_come_out_as_they_are(session, item):
    candidates = np.array([[item, "item 3"]], object)
    items = session.run(["items"], {**padding(session), "candidates": candidates})[0]
    assert set(items[0, :2]) == {item, "item 3"}
    left = {"candidates": candidates, "exclude": np.array([[item]], object)}
    items = session.run(["items"], {**padding(session), **left})[0]
    assert items[0, :2].tolist() == ["item 3", ""]


@pytest.mark.parametrize("user", [*AWKWARD, "user 3"])
def test_string_users_are_told_apart(session, run, user):
    index = run.dataset.vocabularies["user"].index([user])
    assert index[0] > 1
    (scores,) = session.run(["scores"], {**padding(session), "user": np.array([user], object)})
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
    items, scores = session.run(["items", "scores"], {**padding(session, number), "user": users})
    assert items.shape == scores.shape == (number, 20)
    _, expected = run.model.recommend({"user": run.dataset.vocabularies["user"].index(users)}, 20)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_an_item_listed_many_times_is_excluded_once(session):
    first = session.run(["items"], padding(session))[0][0]
    for times in (2, 40):
        exclude = np.array([[first[0]] * times], object)
        items = session.run(["items"], {**padding(session), "exclude": exclude})[0][0]
        assert items.tolist() == [*first[1:], ""]


@pytest.fixture(scope="module")
def strings(run):
    """Data whose ids are strings."""
    return run.dataset


@pytest.fixture(scope="module")
def integers(datasets):
    """Data whose items are integers."""
    return datasets["ids"]


def written(run, folder, opset=None):
    """The files of a run without a bundle around them, and what they say."""
    graphs = EndpointGraphs(run.model, run.dataset.vocabularies)
    writer.write(graphs, run.dataset.vocabularies, folder, opset)
    return graphs, OnnxRuntime(folder, graphs.endpoints)


def queries(endpoint, vocabularies, number=5, seed=0):
    """Raw values drawn at random: known ones, unknown ones and padding."""
    rng = np.random.default_rng(seed)
    values = {}
    for info in endpoint.inputs:
        shape = [number if axis == 0 else size or 3 for axis, size in enumerate(info.shape)]
        if info.vocabulary is None:
            values[info.name] = rng.normal(size=shape).astype(np.float32)
            continue
        vocabulary = vocabularies[info.vocabulary]
        stranger = 10**6 if vocabulary.is_integer else "nobody knows"
        indices = rng.integers(0, vocabulary.size, shape)
        if info.name == "candidates":
            indices[::2] = 0
        values[info.name] = np.where(indices == 1, stranger, vocabulary.lookup(indices))
    return values


def assert_answers_are_the_models(run, graphs, runtime):
    model = KerasRuntime(run.model, run.dataset.vocabularies, graphs.k)
    for endpoint in graphs.endpoints:
        inputs = queries(endpoint, run.dataset.vocabularies)
        answer, expected = runtime.run(endpoint.name, inputs), model.run(endpoint.name, inputs)
        assert list(answer) == [info.name for info in endpoint.outputs]
        for name, values in answer.items():
            assert values.shape == expected[name].shape
            if values.dtype == np.float32:
                np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-5)
            elif name != "items":
                np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("opset", [OLDEST_OPSET, LATEST_OPSET])
@pytest.mark.parametrize("ids", ["strings", "integers"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_oldest_and_the_latest_opset_answer_as_the_model_does(name, ids, opset, request, make_run, tmp_path):
    run = make_run(name, request.getfixturevalue(ids))
    graphs, runtime = written(run, tmp_path, opset)
    assert_answers_are_the_models(run, graphs, runtime)
    for endpoint in graphs.endpoints:
        model = onnx.load(tmp_path / f"{endpoint.name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert {one.domain: one.version for one in model.opset_import} == {"": opset, "ai.onnx.ml": 2}


def count_as_large(monkeypatch, size: int) -> None:
    """Arrays of more bytes than `size` count as large in every step."""
    for module in (conversion, folding, saving):
        monkeypatch.setattr(module, "SMALLEST_DATA", size)


@pytest.mark.parametrize("opset", [OLDEST_OPSET, LATEST_OPSET])
def test_features_of_every_kind_are_taken_at_both_opsets(features_run, opset, tmp_path):
    graphs, runtime = written(features_run, tmp_path, opset)
    assert_answers_are_the_models(features_run, graphs, runtime)


def test_files_name_the_oldest_format_that_has_their_opset(run, tmp_path):
    for opset, ir_version in ((OLDEST_OPSET, 8), (LATEST_OPSET, 10)):
        written(run, tmp_path, opset)
        assert onnx.load(tmp_path / "score.onnx").ir_version == ir_version


@pytest.mark.parametrize("opset", [0, -1, OLDEST_OPSET - 1, LATEST_OPSET + 1, 17.0, "17", True])
def test_another_opset_is_refused_with_those_there_are_and_nothing_is_written(run, opset, tmp_path):
    graphs = EndpointGraphs(run.model, run.dataset.vocabularies)
    range_of_opsets = f"from {OLDEST_OPSET} to {LATEST_OPSET}"
    with pytest.raises(UserError, match=f"opset {opset!r}. Expected a whole number {range_of_opsets}"):
        writer.write(graphs, run.dataset.vocabularies, tmp_path / "onnx", opset)
    assert not (tmp_path / "onnx").exists()


def test_a_network_over_many_items_reads_them_in_slices_of_one_matrix(monkeypatch, make_run, integers, tmp_path):
    monkeypatch.setattr("zoo.families.pairs.ITEMS_AT_ONCE", 7)
    count_as_large(monkeypatch, 8)
    run = make_run("ncf", integers)
    graphs, runtime = written(run, tmp_path)
    graph = onnx.load(tmp_path / "recommend.onnx").graph
    rows = [tensor.dims[0] for tensor in graph.initializer if tensor.dims]
    assert rows.count(run.model.num_items) == 2  # vectors and raw ids
    assert_answers_are_the_models(run, graphs, runtime)


def test_the_item_matrix_is_stored_once_and_read_as_it_lies(run, tmp_path):
    written(run, tmp_path)
    graph = onnx.load(tmp_path / "recommend.onnx").graph
    shapes = [tuple(tensor.dims) for tensor in graph.initializer]
    assert shapes.count((run.model.num_items, run.model.dim)) == 1
    assert not [node for node in graph.node if node.op_type == "Transpose"]


def test_raw_values_pass_one_cast_on_their_way_in_and_none_on_their_way_out(features_bundle):
    graph = onnx.load(features_bundle.folder / "onnx" / "recommend.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert "Identity" not in operators
    # user, group, device, and the items of history, exclude and candidates side by side.
    assert operators.count("LabelEncoder") == 4
    made_by = {name: node for node in graph.node for name in node.output}
    assert made_by["items"].op_type == "Gather"
    assert made_by["scores"].op_type == "TopK"


def test_item_indices_stay_integers(bundle):
    """Floats are exact up to 2**24 only."""
    model = onnx.shape_inference.infer_shapes(onnx.load(bundle.folder / "onnx" / "recommend.onnx"))
    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}
    sorted_types = {types[node.output[0]] for node in model.graph.node if node.op_type == "TopK"}
    assert sorted_types == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT32}


def test_an_item_seen_twice_counts_twice_in_a_history(make_run, integers, tmp_path):
    run = make_run("ease", integers)
    items = run.dataset.vocabularies["item"].values
    history = np.full((1, 8), -1)
    history[0, -2:] = items[3]
    ratings = (history >= 0).astype(np.float32)
    graphs, runtime = written(run, tmp_path)
    inputs = {"history": history, "history_rating": ratings, "items": items[None]}
    model = KerasRuntime(run.model, run.dataset.vocabularies, graphs.k)
    expected = model.run("score", inputs)["scores"]
    np.testing.assert_allclose(runtime.run("score", inputs)["scores"], expected, atol=1e-6)


@pytest.mark.parametrize("width", [0, 1, 7])
def test_lists_may_have_any_length_and_none(session, width):
    nothing = np.full((2, width), "", object)
    inputs = {**padding(session, 2), "exclude": nothing, "candidates": nothing}
    names = [value.name for value in session.get_outputs()]
    answer = dict(zip(names, session.run(names, inputs), strict=True))
    plain = session.run(["items"], padding(session, 2))[0]
    np.testing.assert_array_equal(answer["items"], plain)
    assert answer["unknown_exclude"].shape == (2, width)


def test_unknown_values_are_told_and_padding_is_not_unknown(session):
    exclude = np.array([["", "item 3", "nobody knows"]], object)
    names = ["unknown_user", "unknown_exclude", "unknown_candidates"]
    inputs = {**padding(session), "user": np.array(["a stranger"], object), "exclude": exclude}
    user, excluded, candidates = session.run(names, inputs)
    assert user.dtype == excluded.dtype == np.int32
    assert user.tolist() == [1]
    assert excluded.tolist() == [[0, 0, 1]]
    assert candidates.tolist() == [[0]]


def test_an_unknown_output_is_as_long_as_its_input(bundle):
    graph = onnx.load(bundle.folder / "onnx" / "recommend.onnx").graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes["unknown_exclude"] == shapes["exclude"] == ["batch", "num_exclude"]
    assert shapes["unknown_user"] == shapes["user"] == ["batch"]


@pytest.fixture
def spilled(run, tmp_path, monkeypatch):
    """Files of `run` that count as too large for protobuf at a few bytes."""
    monkeypatch.setattr(saving, "LARGEST_FILE", 1000)
    count_as_large(monkeypatch, 100)
    return (*written(run, tmp_path), tmp_path)


def test_weights_beyond_the_limit_lie_in_a_file_beside_the_graph(run, spilled):
    graphs, runtime, folder = spilled
    names = [endpoint.name for endpoint in graphs.endpoints]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.onnx{end}" for name in names for end in ("", ".data")
    )
    assert_answers_are_the_models(run, graphs, runtime)


def test_a_file_beside_a_graph_is_named_without_its_folder_so_that_both_can_be_moved(spilled, tmp_path):
    _, _, folder = spilled
    moved = folder.rename(tmp_path.with_name("elsewhere"))
    onnx.checker.check_model(moved / "recommend.onnx", full_check=True)
    tensors = onnx.load(moved / "recommend.onnx", load_external_data=False).graph.initializer
    outside = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in tensors
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    assert {entry["location"] for entry in outside} == {"recommend.onnx.data"}
    assert all(int(entry["offset"]) % saving.PAGE == 0 for entry in outside)
    onnxruntime.InferenceSession(moved / "recommend.onnx")


def test_both_ways_to_store_weights_hold_the_same_ones(spilled, bundle):
    _, _, folder = spilled
    for name in ENDPOINTS:
        here, there = (onnx.load(where / f"{name}.onnx").graph for where in (folder, bundle.folder / "onnx"))
        weights = [sorted(str(numpy_helper.to_array(t).tolist()) for t in graph.initializer) for graph in (here, there)]
        assert set(weights[0]) == set(weights[1]) != set()


def test_a_graph_without_the_file_beside_it_does_not_load(spilled):
    _, _, folder = spilled
    (folder / "recommend.onnx.data").unlink()
    with pytest.raises(Exception, match=re.escape("recommend.onnx.data")):
        onnxruntime.InferenceSession(folder / "recommend.onnx")


# What ONNX Runtime itself says to a wrong request, so that callers know what to expect.


def test_a_missing_input_is_named(session):
    inputs = padding(session)
    del inputs["exclude"]
    with pytest.raises(ValueError, match=r"Required inputs \(\['exclude'\]\) are missing"):
        session.run(None, inputs)


def test_an_input_that_does_not_exist_is_named(session):
    with pytest.raises(Exception, match="Invalid input name: customer"):
        session.run(None, {**padding(session), "customer": np.array(["a"], object)})


def test_ids_of_another_type_are_refused(session, features_session):
    with pytest.raises(Exception, match=r"Unexpected input data type.*expected: \(tensor\(string\)\)"):
        session.run(None, {**padding(session), "user": np.array([7])})
    with pytest.raises(Exception, match=r"Unexpected input data type.*expected: \(tensor\(int64\)\)"):
        features_session.run(None, {**padding(features_session), "exclude": np.array([[101.0]], np.float32)})


def test_an_input_of_another_rank_is_refused(session):
    with pytest.raises(Exception, match=r"Invalid rank for input: exclude Got: 1 Expected: 2"):
        session.run(None, {**padding(session), "exclude": np.array(["item 3"], object)})
